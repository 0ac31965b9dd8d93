"""Traces: spans of SDKs and proxies."""

from collections import Counter
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTracePartialSuccess, ExportTraceServiceResponse

from meshslo.telemetry.normalize import traces_json_to_protobuf
from meshslo.telemetry.normalize.decode import parse_request
from meshslo.telemetry.normalize.faults import fault
from meshslo.telemetry.store.wal import Kind

from .access import Sender
from .signals import FOREIGN_TENANT, Checked, Signal, remove_foreign


def check(payload: bytes, sender: Sender) -> Checked:
    """Which spans of `payload` can be taken from `sender`; BadInputError where it is no trace export."""
    request = parse_request(payload)
    lists = [scope.spans for resource in request.resource_spans for scope in resource.scope_spans]
    rejected: Counter[str] = Counter()
    if sender.tenants is not None:
        rejected[FOREIGN_TENANT] = sum(remove_foreign(spans, sender) for spans in lists)
        payload = request.SerializeToString() if rejected[FOREIGN_TENANT] else payload
    accepted = 0
    for span in (span for spans in lists for span in spans):
        reason = fault(span)
        if reason is None:
            accepted += 1
        else:
            rejected[reason] += 1
    return Checked(accepted, +rejected, payload)


def _answer(rejected: int, message: str) -> ExportTraceServiceResponse:
    if not rejected:
        return ExportTraceServiceResponse()
    return ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(rejected_spans=rejected, error_message=message))


TRACES: Final = Signal(
    noun="spans",
    kind=Kind.OTLP_TRACES,
    http_path="/v1/traces",
    grpc_path="/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    check=check,
    from_json=traces_json_to_protobuf,
    answer=_answer,
)
