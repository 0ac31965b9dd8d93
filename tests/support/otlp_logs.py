"""Builders of access logs as Envoy sends them over OTLP: a test states only what it is about."""

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from tests.support.otlp import START_NS

INGRESS = {
    "method": "POST",
    "protocol": "HTTP/1.1",
    "response_code": "200",
    "response_flags": "-",
    "duration": "1500",
    "response_duration": "40",
    "upstream_request_attempt_count": "1",
    "upstream_cluster": "generator",
    "x_tenant_id": "acme",
    "x_model": "large",
}


def make_log(trace: int = 0, span: int = 0, **fields: str) -> LogRecord:
    record = LogRecord(time_unix_nano=START_NS)
    record.trace_id, record.span_id = (trace.to_bytes(16, "big"), span.to_bytes(8, "big")) if trace else (b"", b"")
    for key, value in {**INGRESS, **fields}.items():
        record.attributes.add(key=key).value.string_value = value
    return record


def logs_of(records: list[LogRecord], **resource: str) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    for key, value in (resource or {"cluster_name": "generator"}).items():
        group.resource.attributes.add(key=key).value.string_value = value
    group.scope_logs.add(log_records=records)
    return request
