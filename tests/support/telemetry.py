"""Recorded spans, a clock that tests turn, and an ASGI application served on loopback."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from meshslo.telemetry.baggage import BaggageProcessor

from .net import wait_for


class Clock:
    """A clock in seconds that stands still until the test moves it."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass(frozen=True)
class Recorder:
    """A tracer provider and what came out of it."""

    provider: TracerProvider
    exporter: InMemorySpanExporter

    def spans(self, kind: SpanKind | None = None) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if kind in (None, span.kind)]

    def one(self, kind: SpanKind | None = None) -> ReadableSpan:
        """The only span (of `kind`), once it has arrived."""
        wait_for(lambda: bool(self.spans(kind)), what=f"a {kind} span")
        (span,) = self.spans(kind)
        return span


def recorder(service: str = "gateway") -> Recorder:
    """A provider of its own (not the global one), with the label processor, for the service `service`."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(BaggageProcessor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Recorder(provider, exporter)


def duration_s(span: ReadableSpan) -> float:
    """How long `span` lasted."""
    assert span.end_time is not None
    assert span.start_time is not None
    return (span.end_time - span.start_time) / 1e9


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The base URL of `app`, served by uvicorn on a free loopback port in a thread of its own."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started, what="uvicorn's start")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()
