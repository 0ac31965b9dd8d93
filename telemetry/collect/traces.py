"""Traces: spans of SDKs and proxies."""

from collections.abc import Iterator
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTracePartialSuccess, ExportTraceServiceResponse

from meshslo.telemetry.normalize import traces_json_to_protobuf
from meshslo.telemetry.normalize.decode import parse_request
from meshslo.telemetry.normalize.faults import fault
from meshslo.telemetry.store.wal import Kind

from .signals import Group, Signal


def _groups(request: Any) -> Iterator[Group]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            yield Group(scope.spans, resource.resource, fault)


def _answer(rejected: int, message: str) -> ExportTraceServiceResponse:
    if not rejected:
        return ExportTraceServiceResponse()
    return ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(rejected_spans=rejected, error_message=message))


TRACES: Final = Signal(
    noun="spans",
    kind=Kind.OTLP_TRACES,
    http_path="/v1/traces",
    grpc_path="/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    parse=parse_request,
    groups=_groups,
    from_json=traces_json_to_protobuf,
    answer=_answer,
)
