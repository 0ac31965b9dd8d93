"""What instrumentation costs a service: time added per chunk and per request, against none and against contrib's middleware.

The same application, the same requests, in one process and run, taking turns; medians of the thread's processor time, which is
the same however busy the machine is. Spans go through a batch processor to an exporter that drops them, so that what is
measured is the request's own path.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from meshslo.telemetry.asgi import MeshsloMiddleware
from meshslo.telemetry.baggage import BaggageProcessor

CHUNKS: Final = 1000
ROUNDS: Final = 15
REQUESTS: Final = {1: 40, CHUNKS: 4}
"""Chunks of an answer -> requests a round."""

EVENT: Final = b'data: {"choices": [{"delta": {"content": "word"}}]}\n\n'
HEADERS: Final = [
    (b"host", b"generator"),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    (b"baggage", b"tenant.id=acme,gen_ai.request.model=small,meshslo.caller=gateway"),
    (b"x-tenant-id", b"acme"),
]

App = Callable[..., Awaitable[None]]


class _Dropped(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def run() -> dict[str, float]:
    """Microseconds: each contender's request of 1 and of 1,000 chunks, and what it adds per request and per chunk."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BaggageProcessor())
    provider.add_span_processor(BatchSpanProcessor(_Dropped()))
    try:
        short, long = (_medians_us(_contenders(chunks, provider), REQUESTS[chunks]) for chunks in (1, CHUNKS))
    finally:
        provider.shutdown()
    results = {f"{name}_request_us": value for name, value in short.items()}
    results |= {f"{name}_{CHUNKS}_chunks_us": value for name, value in long.items()}
    for name in ("meshslo", "contrib", "contrib_without_send_spans"):
        added_us = short[name] - short["bare"]
        results[f"{name}_added_per_request_us"] = added_us
        results[f"{name}_added_per_chunk_us"] = (long[name] - long["bare"] - added_us) / (CHUNKS - 1)
    return {name: round(value, 3) for name, value in results.items()}


def _contenders(chunks: int, provider: TracerProvider) -> dict[str, App]:
    bare = _streaming(chunks)
    return {
        "bare": bare,
        "meshslo": MeshsloMiddleware(bare, tracer_provider=provider),
        "contrib": OpenTelemetryMiddleware(bare, tracer_provider=provider),
        "contrib_without_send_spans": OpenTelemetryMiddleware(
            bare, tracer_provider=provider, exclude_spans=["send", "receive"]
        ),
    }


def _streaming(chunks: int) -> App:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for _ in range(chunks):
            await send({"type": "http.response.body", "body": EVENT, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


def _medians_us(contenders: dict[str, App], requests: int) -> dict[str, float]:
    """Median microseconds of processor time of a request; contenders take turns, so that a noisy moment hits all."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, app in contenders.items():
            seconds[name] += asyncio.run(_timed(app, requests))
    return {name: statistics.median(times) * 1e6 for name, times in seconds.items()}


async def _timed(app: App, requests: int) -> list[float]:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        return None

    times = []
    for _ in range(requests):
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/chat",
            "raw_path": b"/v1/chat",
            "query_string": b"",
            "headers": HEADERS,
        }
        scope |= {
            "http_version": "1.1",
            "scheme": "http",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 9),
            "asgi": {"version": "3.0"},
        }
        started = time.thread_time()
        await app(scope, receive, send)
        times.append(time.thread_time() - started)
    return times
