"""Starts metrics in a process: a meter provider with our views, its readers, and the processor that feeds it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider

from .exporting import Outlet, registered, signal_url
from .metering import Measured, MeteringProcessor, views

METRICS_PATH = "v1/metrics"


class QuietMetricExporter(Outlet[MetricExporter], MetricExporter):
    """Passes metrics on; a failure costs nothing but the time until the next, since they are cumulative."""

    def __init__(self, make: Callable[[], MetricExporter]) -> None:
        super().__init__(make, "metrics")
        # A reader asks its exporter for these two, by the SDK's own names.
        for name in ("_preferred_temporality", "_preferred_aggregation"):
            setattr(self, name, getattr(self.exporter, name))

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Export `metrics_data`."""
        export = partial(self.exporter.export, metrics_data, timeout_millis, **kwargs)
        return self.pass_on(1, export, MetricExportResult.SUCCESS)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Close the exporter."""
        with self.complaints:
            self.exporter.shutdown(timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Flush what the exporter holds back itself."""
        return self.exporter.force_flush(timeout_millis)


def _maker(endpoint: str | None) -> Callable[[], MetricExporter]:
    """OTLP over HTTP to `endpoint` where given, else as the standard variables say."""
    if endpoint:
        return partial(OTLPMetricExporter, endpoint=signal_url(endpoint, METRICS_PATH))
    return registered("metrics", "otlp")


def start_metrics(
    provider: TracerProvider, endpoint: str | None, *, export: bool, serve: bool
) -> tuple[MeterProvider, InMemoryMetricReader | None]:
    """Measure the calls that `provider` sees from now on: to an OTLP collector, or kept for being scraped, or both.

    Must come before the provider's first tracer: what its sampler drops has to be measured too.
    """
    reader = InMemoryMetricReader() if serve else None
    readers: list[MetricReader] = [reader] if reader else []
    if export:
        readers.append(PeriodicExportingMetricReader(QuietMetricExporter(_maker(endpoint))))
    meters = MeterProvider(readers, provider.resource, shutdown_on_exit=False, views=views())
    metrics.set_meter_provider(meters)
    provider.sampler = Measured(provider.sampler)
    provider.add_span_processor(MeteringProcessor(meters))
    return meters, reader
