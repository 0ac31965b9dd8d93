"""Starts metrics in a process: a meter provider with our views, its readers, and the processor that feeds it."""

from typing import Any

from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider

from .exporting import Complaints, Losses, signal_url
from .metering import Measured, MeteringProcessor, views

METRICS_PATH = "v1/metrics"
NOISY = "opentelemetry.exporter.otlp.proto.http.metric_exporter"


class QuietMetricExporter(OTLPMetricExporter):
    """The SDK's exporter, whose repeated complaints become one warning."""

    def __init__(self, endpoint: str | None) -> None:
        super().__init__(endpoint=signal_url(endpoint, METRICS_PATH) if endpoint else None)
        self._complaints = Complaints(NOISY)
        self._losses = Losses("metrics")

    def export(self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: Any) -> MetricExportResult:
        """Export; cumulative metrics lose nothing by a failure but the time until the next."""
        self._complaints.first = ""
        with self._complaints:
            result: MetricExportResult = super().export(metrics_data, timeout_millis, **kwargs)
        if result is MetricExportResult.SUCCESS:
            self._losses.arrived()
        else:
            self._losses.lost(1, self._complaints.first or "the exporter gave no reason")
        return result


def start_metrics(
    provider: TracerProvider, endpoint: str | None, *, export: bool, serve: bool
) -> tuple[MeterProvider, InMemoryMetricReader | None]:
    """Measure the calls that `provider` sees from now on: to an OTLP collector, or kept for being scraped, or both.

    Must come before the provider's first tracer: what its sampler drops has to be measured too.
    """
    reader = InMemoryMetricReader() if serve else None
    readers: list[MetricReader] = [reader] if reader else []
    if export:
        readers.append(PeriodicExportingMetricReader(QuietMetricExporter(endpoint)))
    meters = MeterProvider(readers, provider.resource, shutdown_on_exit=False, views=views())
    metrics.set_meter_provider(meters)
    provider.sampler = Measured(provider.sampler)
    provider.add_span_processor(MeteringProcessor(meters))
    return meters, reader
