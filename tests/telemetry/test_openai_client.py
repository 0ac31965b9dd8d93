"""The openai client: model, tokens and attempts of each call, to the end of its stream."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest
from opentelemetry.trace import SpanKind

from meshslo.telemetry import names
from meshslo.telemetry.openai_client import instrument_openai
from tests.support.telemetry import Recorder, duration_s, recorder

USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
QUESTION: Any = [{"role": "user", "content": "secret question"}]


def event(**chunk: Any) -> bytes:
    whole = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "small-0613", "choices": [], **chunk}
    return b"data: " + json.dumps(whole).encode() + b"\n\n"


def words(*contents: str | None) -> list[bytes]:
    return [event(choices=[{"index": 0, "delta": {"role": "assistant", "content": content}}]) for content in contents]


class Body(httpx2.AsyncByteStream, httpx2.SyncByteStream):
    def __init__(self, chunks: list[bytes], error: Exception | None = None) -> None:
        self.chunks, self.error = chunks, error

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks
        if self.error:
            raise self.error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in Body.__iter__(self):
            yield chunk


def answering(*bodies: list[bytes] | Exception | int) -> Callable[[httpx2.Request], httpx2.Response]:
    """A server that gives one answer after the other: a stream, a status, or a failure."""
    left = list(bodies)

    def answer(request: httpx2.Request) -> httpx2.Response:
        body = left.pop(0)
        if isinstance(body, Exception):
            raise body
        if isinstance(body, int):
            return httpx2.Response(body, stream=Body([b"busy"]))
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Body(body))

    return answer


def client_of(spans: Recorder, answer: Callable[[httpx2.Request], httpx2.Response], **options: Any) -> openai.AsyncOpenAI:
    http_client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    options = {"base_url": "http://generator:8000/v1", "max_retries": 0, **options}
    client = openai.AsyncOpenAI(api_key="k", http_client=http_client, **options)
    return instrument_openai(client, tracer_provider=spans.provider)


@pytest.fixture
def spans() -> Recorder:
    return recorder()


def seen(spans: Recorder) -> list[dict[str, Any]]:
    return [dict(span.attributes or {}) for span in spans.spans(SpanKind.CLIENT)]


async def test_a_streamed_chat_is_one_span_with_its_model_and_tokens(spans: Recorder) -> None:
    chunks = [*words("", "Hi", " there"), event(usage=USAGE), b"data: [DONE]\n\n"]
    client = client_of(spans, answering(chunks))
    stream = await client.chat.completions.create(model="small", messages=QUESTION, stream=True)
    assert len([chunk async for chunk in stream]) == 4
    (call,) = seen(spans)
    assert spans.one().name == "chat small"
    assert (call[names.OPERATION], call[names.MODEL], call[names.STREAMING]) == ("chat", "small", True)
    assert (call[names.INPUT_TOKENS], call[names.OUTPUT_TOKENS]) == (3, 5)
    assert (call["url.template"], call["server.address"]) == ("/v1/chat/completions", "generator")
    assert names.PROVIDER not in call
    assert "secret" not in str(call)


async def test_hanging_up_after_the_last_event_is_no_cancellation(spans: Recorder) -> None:
    client = client_of(spans, answering([*words("Hi"), b"data: [DONE]\n\n", b": never read\n\n"]))
    async for _ in await client.chat.completions.create(model="small", messages=QUESTION, stream=True):
        pass
    assert seen(spans)[0][names.OUTCOME] == "ok"


async def test_a_plain_chat_has_its_tokens(spans: Recorder) -> None:
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [], "usage": USAGE}
    client = client_of(spans, lambda request: httpx2.Response(200, json=answer))
    await client.chat.completions.create(model="small", messages=QUESTION)
    (call,) = seen(spans)
    assert (call[names.OUTCOME], call[names.OUTPUT_TOKENS], call[names.STREAMING]) == ("ok", 5, False)


async def test_copies_of_a_client_are_measured_too(spans: Recorder) -> None:
    client = client_of(spans, lambda request: httpx2.Response(200, json={}))
    await client.with_options(timeout=3).chat.completions.create(model="large", messages=QUESTION)
    (call,) = seen(spans)
    assert call[names.MODEL] == "large"


async def test_every_retry_is_a_call_of_its_own(spans: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(spans, answering(503, httpx2.ReadTimeout("slow"), [*words("Hi"), b"data: [DONE]\n\n"]), max_retries=2)
    monkeypatch.setattr("anyio.sleep", lambda seconds: asyncio.sleep(0))
    async for _ in await client.chat.completions.create(model="small", messages=QUESTION, stream=True):
        pass
    calls = seen(spans)
    assert [call[names.OUTCOME] for call in calls] == ["error", "timeout", "ok"]
    assert [call[names.ATTEMPT] for call in calls] == [1, 2, 3]
    assert {call[names.MODEL] for call in calls} == {"small"}


async def test_leaving_a_stream_is_cancelled(spans: Recorder) -> None:
    client = client_of(spans, answering(words("a", "b", "c", "d")))
    stream = await client.chat.completions.create(model="small", messages=QUESTION, stream=True)
    await stream.__anext__()
    await stream.__anext__()
    await stream.close()
    (call,) = seen(spans)
    assert (call[names.OUTCOME], call[names.CHUNKS]) == ("cancelled", 2)


@pytest.mark.slow
async def test_a_stream_nobody_closed_ends_at_its_last_chunk(spans: Recorder) -> None:
    client = client_of(spans, answering(words("a", "b", "c", "d")))
    stream = await client.chat.completions.create(model="small", messages=QUESTION, stream=True)
    for _ in range(3):
        await stream.__anext__()
    await asyncio.sleep(0.3)
    del stream
    await asyncio.sleep(0.05)
    gc.collect()
    (call,) = seen(spans)
    assert (call[names.OUTCOME], call[names.CHUNKS]) == ("cancelled", 3)
    assert duration_s(spans.one()) < 0.3


async def test_a_callee_that_dies_in_the_middle_is_an_error(spans: Recorder) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=Body(words("a"), httpx2.RemoteProtocolError("peer closed")))

    stream = await client_of(spans, answer).chat.completions.create(model="small", messages=QUESTION, stream=True)
    with pytest.raises(openai.APIConnectionError):
        [chunk async for chunk in stream]
    (call,) = seen(spans)
    assert (call[names.OUTCOME], call["error.type"]) == ("error", "httpx2.RemoteProtocolError")


def test_a_sync_client_is_measured_and_its_provider_named(spans: Recorder) -> None:
    sent: list[httpx2.Headers] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.headers)
        return httpx2.Response(
            200, json={"object": "list", "data": [], "model": "e", "usage": {"prompt_tokens": 4, "total_tokens": 4}}
        )

    http_client = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = instrument_openai(openai.OpenAI(api_key="k", http_client=http_client), tracer_provider=spans.provider)
    instrument_openai(client, tracer_provider=spans.provider).embeddings.create(
        model="embed", input="secret", encoding_format="float"
    )
    (call,) = seen(spans)
    assert (call[names.OPERATION], call[names.MODEL], call[names.PROVIDER]) == ("embeddings", "embed", "openai")
    assert call[names.INPUT_TOKENS] == 4
    assert "baggage" not in sent[0]


async def test_an_inside_model_server_is_told_the_model(spans: Recorder) -> None:
    sent: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.headers["x-model"])
        return httpx2.Response(200, json={})

    await client_of(spans, answer).chat.completions.create(model="small", messages=QUESTION)
    assert sent == ["small"]
