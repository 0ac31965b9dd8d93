"""The client side of httpx: spans that end with the response, and what callees inside and outside are told."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.trace import SpanKind, StatusCode
from starlette.responses import JSONResponse

from meshslo.telemetry import names
from meshslo.telemetry.asgi import MeshsloMiddleware
from meshslo.telemetry.call import current_call
from meshslo.telemetry.httpx_client import instrument_httpx
from meshslo.telemetry.outgoing import ClientSettings
from tests.support.net import free_port
from tests.support.telemetry import Recorder, duration_s, recorder, served


@pytest.fixture
def spans() -> Recorder:
    return recorder("gateway")


class Body(httpx.AsyncByteStream, httpx.SyncByteStream):
    """A response body of `count` chunks, `wait_s` apart, that ends with `error` if one is given."""

    def __init__(self, count: int, error: Exception | None = None, wait_s: float = 0.0) -> None:
        self.count, self.error, self.wait_s, self.closed = count, error, wait_s, False

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self.count):
            yield b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
        if self.error:
            raise self.error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in Body.__iter__(self):
            await asyncio.sleep(self.wait_s)
            yield chunk

    async def aclose(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True


def client_of(spans: Recorder, answer: Callable[[httpx.Request], httpx.Response], **settings: Any) -> httpx.AsyncClient:
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://generator")
    return instrument_httpx(client, ClientSettings(**settings), tracer_provider=spans.provider)


def streaming(body: Body) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=body)


def attributes(spans: Recorder) -> dict[str, Any]:
    return dict(spans.one(SpanKind.CLIENT).attributes or {})


async def test_a_streamed_answer_is_measured_to_its_end(spans: Recorder) -> None:
    async with (
        client_of(spans, streaming(Body(5, wait_s=0.02))) as client,
        client.stream("GET", "/v1/chat?key=secret") as response,
    ):
        assert not spans.spans()
        assert len([chunk async for chunk in response.aiter_raw()]) == 5
    seen = attributes(spans)
    assert (seen[names.OUTCOME], seen[names.CHUNKS], seen[names.STREAMING]) == ("ok", 5, True)
    assert seen[names.FIRST_BYTE_S] <= seen[names.FIRST_TOKEN_S] <= duration_s(spans.one())
    assert seen[names.MAX_GAP_S] >= 0.02
    assert duration_s(spans.one()) >= 0.1
    assert not any("secret" in str(value) for value in seen.values())


async def test_a_plain_answer_is_measured_with_its_body(spans: Recorder) -> None:
    async with client_of(
        spans, lambda request: httpx.Response(200, json={"usage": {"prompt_tokens": 3, "completion_tokens": 5}})
    ) as client:
        await client.get("/")
    seen = attributes(spans)
    assert (seen[names.OUTCOME], seen[names.STREAMING], seen[names.OUTPUT_TOKENS]) == ("ok", False, 5)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (httpx.RemoteProtocolError("peer closed"), "error"),
        (httpx.ReadError("reset"), "error"),
        (httpx.ReadTimeout("idle"), "timeout"),
    ],
)
async def test_a_body_that_breaks_off_says_why(spans: Recorder, error: httpx.HTTPError, outcome: str) -> None:
    async with client_of(spans, streaming(Body(3, error))) as client:
        with pytest.raises(type(error)):
            await client.get("/")
    seen = attributes(spans)
    assert (seen[names.OUTCOME], seen[names.CHUNKS], seen["http.response.status_code"]) == (outcome, 3, 200)
    assert seen["error.type"] == f"httpx.{type(error).__name__}"
    assert seen[names.OPEN_GAP_S] >= 0.0
    assert spans.one().status.status_code is StatusCode.ERROR


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (httpx.ConnectError("refused"), "rejected"),
        (httpx.ConnectTimeout("no route"), "rejected"),
        (httpx.PoolTimeout("no connection free"), "rejected"),
        (httpx.ReadTimeout("no headers"), "timeout"),
        (httpx.WriteTimeout("stuck"), "timeout"),
        (httpx.RemoteProtocolError("no answer"), "error"),
    ],
)
async def test_a_request_without_an_answer_says_why(spans: Recorder, error: httpx.HTTPError, outcome: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    async with client_of(spans, answer) as client:
        with pytest.raises(type(error)):
            await client.get("/")
    seen = attributes(spans)
    assert (seen[names.OUTCOME], seen["error.type"]) == (outcome, f"httpx.{type(error).__name__}")
    assert names.FIRST_BYTE_S not in seen


async def test_leaving_a_stream_is_cancelled_then_and_frees_the_connection(spans: Recorder) -> None:
    body = Body(50)
    async with client_of(spans, streaming(body)) as client, client.stream("GET", "/") as response:
        chunks = response.aiter_raw()
        for _ in range(3):
            await chunks.__anext__()
        await asyncio.sleep(0.1)
    seen = attributes(spans)
    assert (seen[names.OUTCOME], seen[names.CHUNKS]) == ("cancelled", 3)
    assert seen[names.OPEN_GAP_S] >= 0.1
    assert body.closed


async def test_a_response_nobody_closed_ends_at_its_last_chunk(spans: Recorder) -> None:
    async with client_of(spans, streaming(Body(50))) as client:
        response = await client.send(client.build_request("GET", "/"), stream=True)
        chunks = response.aiter_raw()
        for _ in range(3):
            await chunks.__anext__()
        await asyncio.sleep(0.3)
        del response, chunks
        await asyncio.sleep(0.05)  # the loop closes forgotten generators first
        gc.collect()
        seen = attributes(spans)
    assert (seen[names.OUTCOME], seen[names.CHUNKS], seen[names.OPEN_GAP_S]) == ("cancelled", 3, 0.0)
    assert duration_s(spans.one()) < 0.3


async def test_a_cancelled_task_cancels_its_call(spans: Recorder) -> None:
    async with client_of(spans, streaming(Body(2, wait_s=30.0))) as client:
        task = asyncio.create_task(client.get("/"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert attributes(spans)[names.OUTCOME] == "cancelled"


def test_sync_clients_are_measured_the_same(spans: Recorder) -> None:
    plain = httpx.Client(transport=httpx.MockTransport(streaming(Body(3))), base_url="http://generator")
    with instrument_httpx(plain, tracer_provider=spans.provider) as client:
        client.get("/")
        with client.stream("GET", "/") as response:
            next(response.iter_raw())
    outcomes = [dict(span.attributes or {})[names.OUTCOME] for span in spans.spans()]
    assert outcomes == ["ok", "cancelled"]


def told(spans: Recorder, url: str, **settings: Any) -> httpx.Headers:
    """The headers that a request to `url` carries, of tenant acme and model small."""
    sent: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers)
        return httpx.Response(200)

    async def ask(scope: Any, receive: Any, send: Any) -> None:
        current_call().set(tenant="acme corp", model="small")
        async with client_of(spans, answer, **settings) as client:
            await client.get(url)

    async def serve() -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "http_version": "1.1", "scheme": "http"}
        await MeshsloMiddleware(ask, tracer_provider=spans.provider)(scope, None, None)  # type: ignore[arg-type]

    asyncio.run(serve())
    return sent[0]


@pytest.mark.parametrize(
    "url", ["http://generator/", "http://127.0.0.1:9/", "http://llm.prod.svc.cluster.local/", "http://10.1.2.3/"]
)
def test_hosts_inside_learn_whose_request_it_is(spans: Recorder, url: str) -> None:
    headers = told(spans, url)
    carried = W3CBaggagePropagator().extract(dict(headers))
    assert dict(trace_baggage(carried)) == {names.TENANT: "acme corp", names.MODEL: "small", names.CALLER: "gateway"}
    assert (headers["x-tenant-id"], headers["x-model"]) == ("acme corp", "small")
    assert f"{spans.one(SpanKind.CLIENT).context.span_id:016x}" in headers["traceparent"]


def trace_baggage(context: Any) -> Any:
    from opentelemetry import baggage

    return baggage.get_all(context)


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "http://8.8.8.8/"])
def test_hosts_outside_learn_the_trace_and_nothing_else(spans: Recorder, url: str) -> None:
    headers = told(spans, url)
    assert "traceparent" in headers
    assert not {"baggage", "x-tenant-id", "x-model"} & set(headers)
    assert attributes(spans)[names.TENANT] == "acme corp"


def test_what_is_inside_can_be_said(spans: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "baggage" in told(spans, "https://api.example.com/", inside=lambda host: host.endswith("example.com"))
    monkeypatch.setenv("MESHSLO_INSIDE_HOSTS", "*.partner.com, llm.example.com")
    assert "baggage" in told(recorder(), "https://llm.example.com/")


async def test_a_header_that_the_request_has_is_kept_and_believed(spans: Recorder) -> None:
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers["x-tenant-id"])
        return httpx.Response(200)

    async with client_of(spans, answer) as client:
        await client.get("/", headers={"x-tenant-id": "mine"})
    assert sent == ["mine"]
    assert attributes(spans)[names.TENANT] == "mine"


@pytest.mark.parametrize(
    ("options", "attempt"),
    [({}, None), ({"extensions": {"meshslo.attempt": 3}}, 3), ({"headers": {"x-stainless-retry-count": "1"}}, 2)],
)
async def test_each_attempt_is_a_span_that_knows_its_number(
    spans: Recorder, options: dict[str, Any], attempt: int | None
) -> None:
    async with client_of(spans, lambda request: httpx.Response(503)) as client:
        await client.get("/", **options)
    seen = attributes(spans)
    assert seen.get(names.ATTEMPT) == attempt
    assert seen.get("http.request.resend_count") == (attempt - 1 if attempt else None)
    assert seen[names.OUTCOME] == "error"


async def test_instrumenting_twice_measures_once(spans: Recorder) -> None:
    async with instrument_httpx(client_of(spans, streaming(Body(1))), tracer_provider=spans.provider) as client:
        await client.get("/")
    assert len(spans.spans()) == 1


async def test_beside_the_contrib_instrumentation_there_is_one_client_span(spans: Recorder) -> None:
    HTTPXClientInstrumentor().instrument(tracer_provider=spans.provider)
    try:
        with served(JSONResponse({})) as url:
            async with instrument_httpx(httpx.AsyncClient(), tracer_provider=spans.provider) as client:
                await client.get(url)
    finally:
        HTTPXClientInstrumentor().uninstrument()
    assert len(spans.spans()) == 1
    assert attributes(spans)[names.OUTCOME] == "ok"


async def test_a_port_nobody_listens_on_is_rejected(spans: Recorder) -> None:
    async with instrument_httpx(httpx.AsyncClient(), tracer_provider=spans.provider) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{free_port()}/")
    assert attributes(spans)[names.OUTCOME] == "rejected"


def test_a_server_learns_at_once_who_called_it(spans: Recorder) -> None:
    callee = recorder("generator")
    app = MeshsloMiddleware(JSONResponse({}), tracer_provider=callee.provider)
    with served(app) as url, instrument_httpx(httpx.Client(), tracer_provider=spans.provider) as client:
        client.get(url, headers={"x-tenant-id": "acme", "x-model": "small"})
        seen = dict(callee.one(SpanKind.SERVER).attributes or {})
    assert (seen[names.CALLER], seen[names.TENANT], seen[names.MODEL]) == ("gateway", "acme", "small")
    assert callee.one().parent is not None
    assert callee.one().parent.span_id == spans.one().context.span_id  # type: ignore[union-attr]


async def test_the_context_is_as_before_after_a_call(spans: Recorder) -> None:
    before = trace.get_current_span()
    async with client_of(spans, streaming(Body(2))) as client, client.stream("GET", "/") as response:
        async for _ in response.aiter_raw():
            assert trace.get_current_span() is before
