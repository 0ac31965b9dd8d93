"""Spans of the contrib ASGI instrumentation, made by itself around a real application."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from meshslo.telemetry.normalize import Normalized, decode_traces, normalize
from tests.telemetry.normalize.otlp import INTERNAL, SERVER, calls_of, spec


async def streamed(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(5):
            await asyncio.sleep(0.2 if number == 3 else 0.01)
            yield b"data: x\n\n"

    return StreamingResponse(chunks(), media_type="text/event-stream")


async def plain(request: Request) -> Response:
    return PlainTextResponse("hello")


async def asked(path: str) -> Normalized:
    """The spans of one request, through OTLP."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "app"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = OpenTelemetryMiddleware(
        Starlette(routes=[Route("/stream", streamed), Route("/plain", plain)]), tracer_provider=provider
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        assert (await client.get(path)).status_code == 200
    return normalize(decode_traces(encode_spans(exporter.get_finished_spans()).SerializeToString()).spans)


async def test_the_chunks_of_a_stream_are_timed_by_its_send_spans() -> None:
    result = await asked("/stream")
    row = result.calls.row(0, named=True)
    assert (result.calls.height, row["vantage"], row["hop"]) == (1, "server", "ingress>app")
    assert (row["chunks"], row["streaming"], row["status_code"]) == (5, True, 200)
    assert 0 <= row["first_byte_s"] <= row["first_token_s"] < row["duration_s"]
    assert 0.2 <= row["max_gap_s"] <= row["duration_s"]
    assert result.left_out["internal"] >= 7


async def test_an_answer_in_one_piece_is_one_chunk_without_gaps() -> None:
    row = (await asked("/plain")).calls.row(0, named=True)
    assert (row["chunks"], row["max_gap_s"], row["streaming"]) == (1, None, None)


@pytest.mark.parametrize("own", [0.5, None])
def test_what_the_server_span_says_itself_counts(own: float | None) -> None:
    attributes = {} if own is None else {"meshslo.stream.first_token_s": own, "meshslo.stream.chunks": 9}
    sends = [
        spec(2 + n, "app", INTERNAL, 1, at_s=0.1 * n, attributes={"asgi.event.type": event})
        for n, event in enumerate(["http.response.start", *["http.response.body"] * 4])
    ]
    row = calls_of(spec(1, "app", SERVER, attributes=attributes), *sends)[1]
    assert (row["first_token_s"], row["chunks"]) == ((0.5, 9) if own else (pytest.approx(0.1), 3))
    assert row["max_gap_s"] == pytest.approx(0.1)
