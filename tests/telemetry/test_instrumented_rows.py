"""What instrumented services send becomes call rows: the right hop, vantage, route, model, tenant and phases."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import polars as pl
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from meshslo.telemetry import MeshsloMiddleware, current_call, instrument_httpx
from meshslo.telemetry.normalize import decode_traces, to_calls
from tests.support.net import wait_for
from tests.support.telemetry import Recorder, recorder, served


async def generate(request: Request) -> Response:
    async def chunks() -> AsyncIterator[str]:
        yield 'data: {"choices": [{"delta": {"role": "assistant"}}]}\n\n'
        for _ in range(3):
            await asyncio.sleep(0.02)
            yield 'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
        if "endless" in request.query_params:
            await asyncio.sleep(60)

    return StreamingResponse(chunks(), media_type="text/event-stream")


def chain(query: str, timeout_s: float) -> pl.DataFrame:
    """The rows of one request through gateway and generator."""
    gateway, generator = recorder("gateway"), recorder("generator")
    with served(under(generator, Route("/v1/{kind}/completions", generate))) as url:

        async def ask(request: Request) -> Response:
            current_call().set(model="small")
            async with instrument_httpx(httpx.AsyncClient(timeout=timeout_s), tracer_provider=gateway.provider) as client:
                try:
                    await client.get(f"{url}/v1/chat/completions{query}")
                except httpx.ReadTimeout:
                    return JSONResponse({}, status_code=504)
            return JSONResponse({})

        with served(under(gateway, Route("/ask/{who}", ask))) as front:
            httpx.get(f"{front}/ask/me", headers={"x-tenant-id": "acme"})
            wait_for(lambda: (len(gateway.spans()), len(generator.spans())) == (2, 1), what="three spans")
    payload = encode_spans([*gateway.spans(), *generator.spans()]).SerializeToString()
    return to_calls(decode_traces(payload).spans)


def under(spans: Recorder, *routes: Route) -> Any:
    return MeshsloMiddleware(Starlette(routes=list(routes)), tracer_provider=spans.provider)


def row(calls: pl.DataFrame, vantage: str, hop: str) -> dict[str, Any]:
    (found,) = calls.filter((pl.col("vantage") == vantage) & (pl.col("hop") == hop)).to_dicts()
    return found


def test_a_whole_chain_becomes_three_rows_with_all_their_phases() -> None:
    calls = chain("", timeout_s=30.0)
    assert calls.height == 3
    for vantage, hop, route in (
        ("server", "ingress>gateway", "/ask/{who}"),
        ("client", "gateway>generator", "/v1/{kind}/completions"),
        ("server", "gateway>generator", "/v1/{kind}/completions"),
    ):
        seen = row(calls, vantage, hop)
        assert (seen["route"], seen["tenant"], seen["model"], seen["outcome"]) == (route, "acme", "small", "ok")
        assert (seen["status_code"], seen["method"]) == (200, "GET")
        assert None not in (seen["trace_id"], seen["span_id"], seen["start"])
        assert seen["first_byte_s"] <= seen["first_token_s"] <= seen["duration_s"]
    streamed = row(calls, "server", "gateway>generator")
    assert (streamed["chunks"], streamed["streaming"], streamed["open_gap_s"]) == (4, True, None)
    assert streamed["max_gap_s"] >= 0.02


def test_a_stream_that_the_callers_timer_cut_is_no_success_on_any_row() -> None:
    calls = chain("?endless", timeout_s=0.5)
    assert row(calls, "client", "gateway>generator")["outcome"] == "timeout"
    assert row(calls, "client", "gateway>generator")["error_type"] == "httpx.ReadTimeout"
    assert row(calls, "server", "gateway>generator")["outcome"] in ("cancelled", "timeout")
    assert row(calls, "server", "ingress>gateway")["outcome"] == "timeout"
    for vantage in ("client", "server"):
        cut = row(calls, vantage, "gateway>generator")
        assert cut["status_code"] == 200
        assert 0.4 <= cut["open_gap_s"] <= cut["max_gap_s"] <= cut["duration_s"]
