"""Metrics: histograms and counters of calls that a profile knows. Others say nothing of calls and are passed over, counted."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)

from meshslo.telemetry.otlp_metrics import metrics_json_to_protobuf, parse_metrics
from meshslo.telemetry.otlp_metrics.messages import NOT_OF_CALLS, labels_of, point_fault, points_of, readers_of, tenants_named
from meshslo.telemetry.prometheus.classic import Found
from meshslo.telemetry.store.wal import Kind

from .access import Sender
from .signals import Group, Signal


def _groups(request: Any) -> Iterator[Group]:
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                readers = readers_of(metric)
                fault = partial(_fault, metric, readers, resource.resource)
                yield Group(points_of(metric), resource.resource, fault, partial(_is_foreign, readers, resource.resource))


def _fault(metric: Any, readers: tuple[Found, ...], resource: Any, point: Any) -> str | None:
    return point_fault(metric, readers, labels_of(resource, point), point)


def _is_foreign(readers: tuple[Found, ...], resource: Any, point: Any, sender: Sender) -> bool:
    """Whether a data point would be counted for a tenant that `sender` may not speak for; its resource may name it, too."""
    return not all(map(sender.may_speak_for, tenants_named(readers, labels_of(resource, point))))


def _answer(rejected: int, message: str) -> ExportMetricsServiceResponse:
    if not rejected:
        return ExportMetricsServiceResponse()
    partial_success = ExportMetricsPartialSuccess(rejected_data_points=rejected, error_message=message)
    return ExportMetricsServiceResponse(partial_success=partial_success)


METRICS: Final = Signal(
    noun="data points",
    kind=Kind.OTLP_METRICS,
    http_path="/v1/metrics",
    grpc_path="/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    parse=parse_metrics,
    groups=_groups,
    from_json=metrics_json_to_protobuf,
    answer=_answer,
    beside=NOT_OF_CALLS,
)
