"""OTLP metrics as the OpenTelemetry SDK makes them, and by hand where a test is about one field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import Histogram
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import Histogram as HistogramKind
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource

from meshslo.telemetry.metering import views

DELTA, CUMULATIVE = AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE
SERVED: Mapping[str, str] = {"meshslo.vantage": "server", "meshslo.caller": "gateway", "meshslo.outcome": "ok"}


@dataclass
class Service:
    """A process of `generator` that measures the calls it serves, with the real SDK."""

    temporality: AggregationTemporality = CUMULATIVE
    views: Sequence[View] = field(default_factory=views)
    name: str = "meshslo.call.total"

    def __post_init__(self) -> None:
        self.reader = InMemoryMetricReader(preferred_temporality={HistogramKind: self.temporality})
        provider = MeterProvider(
            [self.reader], Resource({"service.name": "generator"}), shutdown_on_exit=False, views=self.views
        )
        self.histogram: Histogram = provider.get_meter("test").create_histogram(self.name, "s")

    def record(self, durations_s: Sequence[float], **attributes: str) -> None:
        for duration_s in durations_s:
            self.histogram.record(duration_s, {**SERVED, **attributes})

    def export(self) -> bytes:
        """What it would send now."""
        data = self.reader.get_metrics_data()
        return b"" if data is None else bytes(encode_metrics(data).SerializeToString())


def make_metrics(name: str, unit: str = "s", resource: Mapping[str, str] | None = None, **data: Any) -> Any:
    """A request of one metric; `data` is its kind and its fields, such as `sum={"is_monotonic": True, ...}`."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    for key, value in (resource or {"service.name": "generator"}).items():
        group.resource.attributes.add(key=key).value.string_value = value
    metric = group.scope_metrics.add().metrics.add(name=name, unit=unit)
    for kind, fields in data.items():
        getattr(metric, kind).MergeFrom(type(getattr(metric, kind))(**fields))
    return request


def make_attributes(**attributes: str) -> list[dict[str, Any]]:
    return [{"key": key.replace("__", "."), "value": {"string_value": value}} for key, value in attributes.items()]
