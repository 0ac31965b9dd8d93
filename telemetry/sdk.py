"""`setup`: one line that makes a service tell what happens in it."""

import atexit
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from weakref import WeakSet

from opentelemetry import propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.resources import SERVICE_NAME
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from .baggage import BaggageProcessor
from .call import abandon_open_calls
from .exporting import BoundedBatches, QuietExporter, exporters
from .resource import UNNAMED, resource_of

logger = logging.getLogger("meshslo")

W3C: Final = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


@dataclass(frozen=True)
class Telemetry:
    """What `setup` set up: the provider that spans go through."""

    provider: TracerProvider

    def force_flush(self, timeout_s: float = 10.0) -> bool:
        """Export what is waiting now; False when that did not succeed."""
        return self.provider.force_flush(round(timeout_s * 1000))

    def shutdown(self) -> None:
        """Export what is waiting, for a few seconds at most, and stop. Runs by itself when the process ends."""
        atexit.unregister(self.shutdown)
        abandon_open_calls()
        self.provider.shutdown()


def setup(
    service: str | None = None,
    *,
    endpoint: str | None = None,
    resource: Mapping[str, str] | None = None,
    span_exporters: Sequence[SpanExporter] | None = None,
) -> Telemetry:
    """Send this process's spans, labelled with tenant and model, to an OTLP collector.

    `service` (else OTEL_SERVICE_NAME) names the service, `endpoint` (else OTEL_EXPORTER_OTLP_ENDPOINT, else
    http://localhost:4318) the collector; `resource` adds resource attributes; `span_exporters` replaces the exporters.
    Standard OTEL_* variables hold. A collector that is down costs the spans and one warning.
    Where a tracer provider is set already (opentelemetry-instrument, an earlier call), it is kept and only gains the labels,
    and the exporters stated here. BadConfigError: an endpoint or exporter that cannot be.
    """
    present = trace.get_tracer_provider()
    if isinstance(present, TracerProvider):
        return _extended(present, service, exporters(endpoint) if endpoint else _makers(span_exporters or ()))
    provider = TracerProvider(resource=resource_of(service, resource), shutdown_on_exit=False)
    _warn_unnamed(provider)
    _label(provider)
    _export(provider, exporters(endpoint) if span_exporters is None else _makers(span_exporters))
    trace.set_tracer_provider(provider)
    if not os.environ.get("OTEL_PROPAGATORS"):
        propagate.set_global_textmap(W3C)
    telemetry = Telemetry(provider)
    atexit.register(telemetry.shutdown)
    return telemetry


_LABELLED: Final[WeakSet[TracerProvider]] = WeakSet()
"""Providers that have the label processor: once is enough."""


def _label(provider: TracerProvider) -> None:
    if provider not in _LABELLED:
        _LABELLED.add(provider)
        provider.add_span_processor(BaggageProcessor())


def _extended(provider: TracerProvider, service: str | None, added: Sequence[Callable[[], SpanExporter]]) -> Telemetry:
    """The provider that is there, with our processor, once."""
    name = provider.resource.attributes.get(SERVICE_NAME)
    if service and service != name:
        logger.warning("this process is set up as service %r already; %r is ignored", name, service)
    _label(provider)
    _export(provider, added)
    return Telemetry(provider)


def _makers(made: Sequence[SpanExporter]) -> list[Callable[[], SpanExporter]]:
    return [partial(lambda exporter: exporter, exporter) for exporter in made]


def _export(provider: TracerProvider, makers: Sequence[Callable[[], SpanExporter]]) -> None:
    for make in makers:
        provider.add_span_processor(BoundedBatches(QuietExporter(make)))


def _warn_unnamed(provider: TracerProvider) -> None:
    if str(provider.resource.attributes.get(SERVICE_NAME, UNNAMED)).startswith(UNNAMED):
        logger.warning("this service has no name; pass setup('gateway') or set OTEL_SERVICE_NAME")
