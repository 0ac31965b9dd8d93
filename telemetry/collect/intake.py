"""What both ports do with a batch: read it, turn away what cannot be a span, and answer once the rest is on the disk."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTracePartialSuccess, ExportTraceServiceResponse

from meshslo.telemetry.normalize.decode import fault, parse_request
from meshslo.telemetry.store.journal import Journal
from meshslo.telemetry.store.wal import Kind

_LARGE_BYTES: Final = 2**20


@dataclass(frozen=True)
class Checked:
    """How many spans of a batch can be taken, and how often each reason to turn one away occurred."""

    accepted: int
    rejected: Counter[str]

    def response(self) -> ExportTraceServiceResponse:
        """The answer that OTLP asks for: empty when all was taken, else how many were not, and why."""
        if not self.rejected:
            return ExportTraceServiceResponse()
        why = "; ".join(f"{reason} ({count})" for reason, count in sorted(self.rejected.items()))
        count = self.rejected.total()
        message = f"{count} of {count + self.accepted} spans rejected: {why}"
        return ExportTraceServiceResponse(
            partial_success=ExportTracePartialSuccess(rejected_spans=count, error_message=message)
        )


@dataclass
class IntakeStats:
    """What has come in since the start."""

    batches: int = 0
    spans: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


class Intake:
    """Takes batches of spans into a journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.stats = IntakeStats()

    async def take(self, payload: bytes) -> ExportTraceServiceResponse:
        """The answer to a serialized ExportTraceServiceRequest, given only once its good spans are on the disk.

        Raises BadInputError where `payload` is no such message, StoreBusyError where it should be sent again later.
        """
        large = len(payload) > _LARGE_BYTES
        checked = await asyncio.to_thread(check, payload) if large else check(payload)
        if checked.accepted:
            await asyncio.wrap_future(self._journal.append(Kind.OTLP_TRACES, payload))
        self.stats.batches += 1
        self.stats.spans += checked.accepted
        self.stats.rejected.update(checked.rejected)
        return checked.response()


def check(payload: bytes) -> Checked:
    """Which spans of `payload` can be taken; BadInputError where it is no trace export."""
    accepted = 0
    rejected: Counter[str] = Counter()
    for span in _spans(parse_request(payload)):
        reason = fault(span)
        if reason is None:
            accepted += 1
        else:
            rejected[reason] += 1
    return Checked(accepted, rejected)


def _spans(request: Any) -> Any:
    return (span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans)
