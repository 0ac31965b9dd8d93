"""Instrumentations that are not ours, really run: their spans through the SDK's exporter into a collector become right rows."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import openai
import pytest
from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor as GenAI
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from meshslo.telemetry.store import open_store
from tests.support.collector import Collector
from tests.support.telemetry import served

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("collector")]

USAGE: Final = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
QUESTION: Final[Any] = [{"role": "user", "content": "secret question"}]


async def chat(request: Request) -> Response:
    """A model that thinks for 0.1 s, then streams three words 0.03 s apart."""
    whole = {"id": "c", "created": 1, "model": "small-0613"}
    if not (await request.json()).get("stream"):
        said = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "word"}}
        return JSONResponse({**whole, "object": "chat.completion", "choices": [said], "usage": USAGE})

    def event(**fields: Any) -> str:
        return f"data: {json.dumps({**whole, 'object': 'chat.completion.chunk', 'choices': [], **fields})}\n\n"

    async def events() -> AsyncIterator[str]:
        await asyncio.sleep(0.1)
        for _ in range(3):
            yield event(choices=[{"index": 0, "delta": {"content": "word"}}])
            await asyncio.sleep(0.03)
        yield event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
        yield event(usage=USAGE)
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


async def embed(request: Request) -> Response:
    vectors = [{"object": "embedding", "index": 0, "embedding": [0.1]}]
    return JSONResponse(
        {"object": "list", "model": "vectors", "data": vectors, "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    )


MODEL_SERVER: Final = Starlette(
    routes=[Route("/v1/chat/completions", chat, methods=["POST"]), Route("/v1/embeddings", embed, methods=["POST"])]
)


def ask(url: str) -> None:
    """A streamed chat, a plain one, an embedding, and a chat with nobody there."""
    client = openai.OpenAI(api_key="k", base_url=f"{url}/v1".replace("127.0.0.1", "localhost"), max_retries=0)
    with client:
        list(client.chat.completions.create(model="small", messages=QUESTION, stream=True))
        client.chat.completions.create(model="small", messages=QUESTION)
        client.embeddings.create(model="vectors", input="secret text", encoding_format="float")
        nobody = client.with_options(base_url="http://localhost:9/v1")
        with pytest.raises(openai.APIConnectionError):
            nobody.chat.completions.create(model="small", messages=QUESTION)


@pytest.mark.parametrize(
    ("instrumentor", "service", "callee", "model"),
    # OpenInference does not say where it calls, only whose API it speaks, and which model answered.
    [(GenAI, "with-genai", "localhost", "small"), (OpenInference, "with-openinference", "openai", "small-0613")],
)
def test_calls_of_a_model_become_rows_with_hop_model_and_phases(
    collector: Collector, instrumentor: Any, service: str, callee: str, model: str
) -> None:
    provider = TracerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"http://{collector.http}/v1/traces")))
    instrumentor().instrument(tracer_provider=provider)
    try:
        with served(MODEL_SERVER) as url:
            ask(url)
    finally:
        instrumentor().uninstrument()
        provider.shutdown()
    calls = open_store(collector.store).scan().collect()
    streamed, plain, embedding, refused = (row for row in calls.sort("start").to_dicts() if row["caller"] == service)

    assert {row["hop"] for row in (streamed, plain, embedding, refused)} == {f"{service}>{callee}"}
    assert {row["vantage"] for row in (streamed, plain, embedding, refused)} == {"client"}
    assert [row["outcome"] for row in (streamed, plain, embedding)] == ["ok"] * 3
    assert refused["outcome"] in ("error", "rejected")
    assert [row["model"] for row in (streamed, plain, embedding)] == [model, model, "vectors"]
    assert [row["operation"] for row in (streamed, plain, embedding)] == ["chat", "chat", "embeddings"]
    assert (streamed["streaming"], streamed["output_tokens"], plain["output_tokens"]) == (True, 5, 5)
    assert 0.1 <= streamed["first_token_s"] <= streamed["duration_s"] - 0.06
    assert plain["first_token_s"] is None
    assert "secret" not in str(calls.to_dicts())
