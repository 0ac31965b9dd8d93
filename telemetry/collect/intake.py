"""What both ports do with a batch: read it, turn away what cannot be a span, and answer once the rest is on the disk."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTracePartialSuccess, ExportTraceServiceResponse

from meshslo.telemetry.names import SPELLINGS
from meshslo.telemetry.normalize.decode import parse_request
from meshslo.telemetry.normalize.faults import fault
from meshslo.telemetry.store.journal import Journal
from meshslo.telemetry.store.wal import Kind

from .access import Sender

FOREIGN_TENANT: Final = "the sender's token may not speak for this tenant"
_LARGE_BYTES: Final = 2**20
_TENANT_NAMES: Final = frozenset(SPELLINGS["tenant"])


@dataclass(frozen=True)
class Checked:
    """How many spans of a batch can be taken, how often each reason to turn one away occurred, and what to store.

    `payload` may still hold spans that cannot be decoded (the decoder leaves them out by the same rule), but none that its
    sender had no right to send.
    """

    accepted: int
    rejected: Counter[str]
    payload: bytes

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

    async def take(self, payload: bytes, sender: Sender) -> ExportTraceServiceResponse:
        """The answer to a serialized ExportTraceServiceRequest, given only once its good spans are on the disk.

        Raises BadInputError where `payload` is no such message, StoreBusyError where it should be sent again later.
        """
        large = len(payload) > _LARGE_BYTES
        checked = await asyncio.to_thread(check, payload, sender) if large else check(payload, sender)
        if checked.accepted:
            await asyncio.wrap_future(self._journal.append(Kind.OTLP_TRACES, checked.payload))
        self.stats.batches += 1
        self.stats.spans += checked.accepted
        self.stats.rejected.update(checked.rejected)
        return checked.response()


def check(payload: bytes, sender: Sender) -> Checked:
    """Which spans of `payload` can be taken from `sender`; BadInputError where it is no trace export."""
    request = parse_request(payload)
    rejected: Counter[str] = Counter()
    if sender.tenants is not None:
        rejected[FOREIGN_TENANT] = _remove_foreign(request, sender)
        payload = request.SerializeToString() if rejected[FOREIGN_TENANT] else payload
    accepted = 0
    for span in (span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans):
        reason = fault(span)
        if reason is None:
            accepted += 1
        else:
            rejected[reason] += 1
    return Checked(accepted, +rejected, payload)


def _remove_foreign(request: Any, sender: Sender) -> int:
    """Take the spans that name a tenant `sender` may not speak for out of `request`; how many they were."""
    removed = 0
    for scope in (scope for resource in request.resource_spans for scope in resource.scope_spans):
        kept = [span for span in scope.spans if all(sender.may_speak_for(tenant) for tenant in _tenants(span))]
        removed += len(scope.spans) - len(kept)
        if len(kept) < len(scope.spans):
            del scope.spans[:]
            scope.spans.extend(kept)
    return removed


def _tenants(span: Any) -> Iterator[str]:
    """Every tenant that a span names, under any spelling."""
    for attribute in span.attributes:
        if attribute.key in _TENANT_NAMES:
            yield attribute.value.string_value
