"""`setup`: one line that makes a service tell what happens in it."""

import atexit
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from weakref import WeakSet

from opentelemetry import propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .baggage import BaggageProcessor, LabelPolicy, set_policy
from .call import abandon_open_calls
from .errors import BadConfigError
from .exporting import LAST_EXPORT_S, BoundedBatches, QuietExporter, exporters
from .resource import UNNAMED, resource_of

logger = logging.getLogger("meshslo")

W3C: Final = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


@dataclass(frozen=True)
class SetupSettings:
    """What few services need to say.

    `resource` adds resource attributes; `span_exporters` replaces the exporters. `export_metrics` sends metrics by OTLP
    (default: where OTEL_METRICS_EXPORTER asks for it), `serve_metrics` keeps them for `Telemetry.metrics_app()`. `labels` says
    what becomes of tenants and other labels.
    """

    resource: Mapping[str, str] = field(default_factory=dict)
    span_exporters: Sequence[SpanExporter] | None = None
    export_metrics: bool | None = None
    serve_metrics: bool = False
    labels: LabelPolicy = field(default_factory=LabelPolicy)


@dataclass(frozen=True)
class Telemetry:
    """What `setup` set up: the provider that spans go through, and the metrics where they are kept."""

    provider: TracerProvider
    meters: MeterProvider | None = None
    reader: InMemoryMetricReader | None = None

    def force_flush(self, timeout_s: float = 10.0) -> bool:
        """Export what is waiting now; False when that did not succeed."""
        timeout_ms = round(timeout_s * 1000)
        flushed = self.provider.force_flush(timeout_ms)
        return flushed and (self.meters is None or self.meters.force_flush(timeout_ms))

    def metrics_app(self) -> Callable[[Any, Any, Any], Awaitable[None]]:
        """An ASGI application with the metrics as Prometheus text; BadConfigError where they are not kept."""
        if self.reader is None:
            raise BadConfigError("no metrics are kept here; call setup with SetupSettings(serve_metrics=True)")
        from .exposition import metrics_app

        return metrics_app(self.reader)

    def shutdown(self) -> None:
        """Export what is waiting, for a few seconds at most, and stop. Runs by itself when the process ends."""
        atexit.unregister(self.shutdown)
        abandon_open_calls()
        self.provider.shutdown()
        if self.meters is not None:
            self.meters.shutdown(round(LAST_EXPORT_S * 1000))


def setup(service: str | None = None, *, endpoint: str | None = None, settings: SetupSettings | None = None) -> Telemetry:
    """Send this process's spans, labelled with tenant and model, to an OTLP collector.

    `service` (else OTEL_SERVICE_NAME) names the service, `endpoint` (else OTEL_EXPORTER_OTLP_ENDPOINT, else
    http://localhost:4318) the collector. Standard OTEL_* variables hold. A collector that is down costs the spans and one
    warning. Where a tracer provider is set already (opentelemetry-instrument, an earlier call), it is kept and only gains the
    labels, and the exporters stated here. BadConfigError: an endpoint or exporter that cannot be.
    """
    stated = settings or SetupSettings()
    present = trace.get_tracer_provider()
    if isinstance(present, TracerProvider):
        return _extended(present, service, endpoint, settings)
    set_policy(stated.labels)
    provider = TracerProvider(resource=resource_of(service, stated.resource), shutdown_on_exit=False)
    _warn_unnamed(provider)
    _label(provider)
    meters, reader = _metrics(provider, endpoint, stated)
    _export(provider, exporters(endpoint) if stated.span_exporters is None else _makers(stated.span_exporters))
    trace.set_tracer_provider(provider)
    if not os.environ.get("OTEL_PROPAGATORS"):
        propagate.set_global_textmap(W3C)
    telemetry = Telemetry(provider, meters, reader)
    atexit.register(telemetry.shutdown)
    return telemetry


def _metrics(
    provider: TracerProvider, endpoint: str | None, settings: SetupSettings
) -> tuple[MeterProvider | None, InMemoryMetricReader | None]:
    """Metrics of the calls, where they are asked for; services that do not, do not load them."""
    export = settings.export_metrics
    if export is None:
        export = "otlp" in os.environ.get("OTEL_METRICS_EXPORTER", "")
    if not export and not settings.serve_metrics:
        return None, None
    from .metrics_sdk import start_metrics

    return start_metrics(provider, endpoint, export=export, serve=settings.serve_metrics)


_LABELLED: Final[WeakSet[TracerProvider]] = WeakSet()
"""Providers that have the label processor: once is enough."""


def _label(provider: TracerProvider) -> None:
    if provider not in _LABELLED:
        _LABELLED.add(provider)
        provider.add_span_processor(BaggageProcessor())


def _extended(provider: TracerProvider, service: str | None, endpoint: str | None, settings: SetupSettings | None) -> Telemetry:
    """The provider that is there, with our processor, once, and what this call states."""
    name = provider.resource.attributes.get(SERVICE_NAME)
    if service and service != name:
        logger.warning("this process is set up as service %r already; %r is ignored", name, service)
    if settings is not None:
        set_policy(settings.labels)
    _label(provider)
    added = settings.span_exporters if settings else None
    _export(provider, exporters(endpoint) if endpoint else _makers(added or ()))
    return Telemetry(provider)


def _makers(made: Sequence[SpanExporter]) -> list[Callable[[], SpanExporter]]:
    return [partial(lambda exporter: exporter, exporter) for exporter in made]


def _export(provider: TracerProvider, makers: Sequence[Callable[[], SpanExporter]]) -> None:
    for make in makers:
        provider.add_span_processor(BoundedBatches(QuietExporter(make)))


def _warn_unnamed(provider: TracerProvider) -> None:
    if str(provider.resource.attributes.get(SERVICE_NAME, UNNAMED)).startswith(UNNAMED):
        logger.warning("this service has no name; pass setup('gateway') or set OTEL_SERVICE_NAME")
