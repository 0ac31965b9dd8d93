"""Logs: access logs of Envoy and Istio, a record a request. Other logs say nothing of calls and are turned away, counted."""

from collections import Counter
from typing import Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse

from meshslo.telemetry.sources.otlp_logs import log_fault, logs_json_to_protobuf, parse_logs
from meshslo.telemetry.store.wal import Kind

from .access import Sender
from .signals import FOREIGN_TENANT, Checked, Signal, remove_foreign


def check(payload: bytes, sender: Sender) -> Checked:
    """Which log records of `payload` are access logs that `sender` may send; BadInputError where it is no logs export."""
    request = parse_logs(payload)
    lists = [scope.log_records for resource in request.resource_logs for scope in resource.scope_logs]
    rejected: Counter[str] = Counter()
    if sender.tenants is not None:
        rejected[FOREIGN_TENANT] = sum(remove_foreign(records, sender) for records in lists)
        payload = request.SerializeToString() if rejected[FOREIGN_TENANT] else payload
    accepted = 0
    for record in (record for records in lists for record in records):
        reason = log_fault(record)
        if reason is None:
            accepted += 1
        else:
            rejected[reason] += 1
    return Checked(accepted, +rejected, payload)


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
    check=check,
    from_json=logs_json_to_protobuf,
    answer=_answer,
)
