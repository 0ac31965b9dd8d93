"""Logs: access logs of Envoy and Istio, a record a request. Other logs say nothing of calls and are passed over, counted."""

from collections.abc import Iterator
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse

from meshslo.telemetry.sources.otlp_logs import NOT_OF_CALLS, log_fault, logs_json_to_protobuf, parse_logs
from meshslo.telemetry.store.wal import Kind

from .signals import Group, Signal


def _groups(request: Any) -> Iterator[Group]:
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            yield Group(scope.log_records, resource.resource, log_fault)


def _answer(rejected: int, message: str) -> ExportLogsServiceResponse:
    if not rejected:
        return ExportLogsServiceResponse()
    partial = ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=message)
    return ExportLogsServiceResponse(partial_success=partial)


LOGS: Final = Signal(
    noun="log records",
    kind=Kind.OTLP_LOGS,
    http_path="/v1/logs",
    grpc_path="/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    parse=parse_logs,
    groups=_groups,
    from_json=logs_json_to_protobuf,
    answer=_answer,
    beside=NOT_OF_CALLS,
)
