"""The server side: spans that end with the body, for every way in which a request can end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.responses import StreamingResponse
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.opentelemetry import OpenTelemetryMiddleware as StarletteTelemetry
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from meshslo.telemetry import names
from meshslo.telemetry.asgi import MeshsloMiddleware
from meshslo.telemetry.call import current_call
from meshslo.telemetry.incoming import ServerSettings
from tests.support.net import wait_for
from tests.support.telemetry import Recorder, duration_s, recorder, served

ROLE = 'data: {"choices": [{"delta": {"role": "assistant"}}]}\n\n'
WORD = 'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'


@pytest.fixture
def spans() -> Recorder:
    return recorder("generator")


def app_of(spans: Recorder, *routes: Route | Mount, settings: ServerSettings | None = None) -> MeshsloMiddleware:
    return MeshsloMiddleware(Starlette(routes=list(routes)), settings, tracer_provider=spans.provider)


async def ask(app: Any, path: str = "/", **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://t") as client:
        return await client.get(path, **options)


def attributes(spans: Recorder) -> dict[str, Any]:
    return dict(spans.one(SpanKind.SERVER).attributes or {})


def streaming(chunks: Callable[[], AsyncIterator[str]], path: str = "/") -> Route:
    async def endpoint(request: Request) -> Response:
        return StreamingResponse(chunks(), media_type="text/event-stream")

    return Route(path, endpoint)


async def test_a_streamed_answer_is_one_span_to_the_last_chunk(spans: Recorder) -> None:
    async def chunks() -> AsyncIterator[str]:
        yield ROLE
        await asyncio.sleep(0.05)
        for _ in range(20):
            yield WORD

    await ask(app_of(spans, streaming(chunks)))
    seen = attributes(spans)
    assert (seen[names.OUTCOME], seen[names.CHUNKS], seen[names.STREAMING]) == ("ok", 21, True)
    assert 0.05 <= seen[names.MAX_GAP_S] <= seen[names.FIRST_TOKEN_S] <= duration_s(spans.one())
    assert seen[names.FIRST_BYTE_S] < seen[names.FIRST_TOKEN_S]
    assert len(spans.spans()) == 1
    assert spans.one().instrumentation_scope.name == "meshslo"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "ok"), (404, "ok"), (429, "rejected"), (500, "error"), (503, "error"), (504, "timeout"), (408, "timeout")],
)
async def test_a_whole_answer_is_judged_by_its_status(spans: Recorder, status: int, outcome: str) -> None:
    async def endpoint(request: Request) -> Response:
        return JSONResponse({}, status_code=status)

    await ask(app_of(spans, Route("/", endpoint)))
    seen = attributes(spans)
    assert (seen[names.OUTCOME], seen["http.response.status_code"], seen[names.STREAMING]) == (outcome, status, False)


@pytest.mark.parametrize(("error", "outcome"), [(ValueError("no"), "error"), (TimeoutError(), "timeout")])
async def test_a_stream_that_breaks_after_its_headers_is_no_success(spans: Recorder, error: Exception, outcome: str) -> None:
    async def chunks() -> AsyncIterator[str]:
        yield WORD
        raise error

    await ask(app_of(spans, streaming(chunks)))
    seen = attributes(spans)
    assert (seen[names.OUTCOME], seen["http.response.status_code"]) == (outcome, 200)
    assert seen[names.OPEN_GAP_S] >= 0.0
    assert seen["error.type"] == type(error).__name__


async def test_an_app_that_never_ends_its_body_is_an_error(spans: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})

    await drive(MeshsloMiddleware(app, tracer_provider=spans.provider))
    assert attributes(spans)[names.OUTCOME] == "error"
    assert attributes(spans)["error.type"] == "incomplete_response"


async def drive(app: Any, *, receive: Any = None, send: Any = None, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    """One request straight into `app`, without a server."""

    async def nothing() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def swallow(message: Any) -> None:
        return None

    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers or [], "http_version": "1.1", "scheme": "http"}
    await app(scope, receive or nothing, send or swallow)


async def test_sending_to_a_caller_who_left_is_cancelled(spans: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async def broken(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("connection lost")

    with pytest.raises(OSError, match="lost"):
        await drive(MeshsloMiddleware(app, tracer_provider=spans.provider), send=broken)
    assert attributes(spans)[names.OUTCOME] == "cancelled"


async def test_tokens_made_in_vain_are_still_stated_after_the_caller_left(spans: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        call = current_call()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert (await receive())["type"] == "http.disconnect"
        await asyncio.sleep(0.2)
        call.set(output_tokens=7)

    async def left() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    await drive(MeshsloMiddleware(app, tracer_provider=spans.provider), receive=left)
    seen = attributes(spans)
    assert (seen[names.OUTCOME], seen[names.OUTPUT_TOKENS]) == ("cancelled", 7)
    assert duration_s(spans.one()) < 0.2


async def test_a_server_that_cancels_the_task_cancels_the_call(spans: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(drive(MeshsloMiddleware(app, tracer_provider=spans.provider)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert attributes(spans)[names.OUTCOME] == "cancelled"


async def test_background_work_after_the_answer_is_not_part_of_the_call(spans: Recorder) -> None:
    async def later() -> None:
        await asyncio.sleep(0.3)
        raise ValueError("too late to matter")

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("done", background=BackgroundTask(later))

    await ask(app_of(spans, Route("/", endpoint)))
    assert attributes(spans)[names.OUTCOME] == "ok"
    assert duration_s(spans.one()) < 0.3


def test_a_caller_that_leaves_a_real_server_is_cancelled_with_its_open_gap(spans: Recorder) -> None:
    async def chunks() -> AsyncIterator[str]:
        for _ in range(3):
            yield WORD
        await asyncio.sleep(60)

    with served(app_of(spans, streaming(chunks))) as url:
        with httpx.Client() as client, client.stream("GET", url) as response:
            received = 0
            for raw in response.iter_raw():
                received += raw.count(b"data:")
                if received == 3:
                    break
        seen = attributes(spans)
    assert (seen[names.OUTCOME], seen[names.CHUNKS], seen["http.response.status_code"]) == ("cancelled", 3, 200)
    assert seen[names.MAX_GAP_S] == pytest.approx(max(seen[names.OPEN_GAP_S], seen[names.MAX_GAP_S]))
    assert duration_s(spans.one()) < 30


def test_a_real_server_under_a_client_timeout_is_cancelled_before_any_chunk(spans: Recorder) -> None:
    async def chunks() -> AsyncIterator[str]:
        await asyncio.sleep(60)
        yield WORD

    with served(app_of(spans, streaming(chunks))) as url:
        with httpx.Client(timeout=0.3) as client, pytest.raises(httpx.ReadTimeout):
            client.get(url)
        seen = attributes(spans)
    assert (seen[names.OUTCOME], seen[names.CHUNKS]) == ("cancelled", 0)
    assert names.MAX_GAP_S not in seen


@pytest.mark.parametrize("native", [False, True])
def test_a_caller_that_left_before_a_plain_answer_is_cancelled(spans: Recorder, native: bool) -> None:
    telemetry: Any = {"tracer_provider": spans.provider, "operation_spans": False} if native else {"tracing": False}
    app = FastAPI(telemetry=telemetry)

    @app.get("/")
    async def slow() -> dict[str, int]:
        await asyncio.sleep(0.5)
        return {"answer": 42}

    app.add_middleware(MeshsloMiddleware, tracer_provider=spans.provider)
    with served(app) as url:
        with httpx.Client(timeout=0.1) as client, pytest.raises(httpx.ReadTimeout):
            client.get(url)
        seen = attributes(spans)
        assert (seen[names.OUTCOME], seen["http.response.status_code"]) == ("cancelled", 200)
        spans.exporter.clear()
        httpx.get(url)
        assert attributes(spans)[names.OUTCOME] == "ok"


async def test_the_route_is_the_template_with_all_prefixes(spans: Recorder) -> None:
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("x")

    nested = Mount("/tenants/{tenant}", routes=[Route("/files/{name:path}", endpoint)])
    app = app_of(spans, Route("/items/{item:int}", endpoint), nested)
    for path in ("/items/7", "/tenants/acme/files/a/b", "/nowhere/secret"):
        await ask(app, path)
    routed = [dict(span.attributes or {}).get("http.route") for span in spans.spans()]
    assert routed == ["/items/{item:int}".replace(":int", ""), "/tenants/{tenant}/files/{name}", None]
    assert [span.name for span in spans.spans()] == ["GET /items/{item}", "GET /tenants/{tenant}/files/{name}", "GET"]
    assert not any("secret" in str(value) for span in spans.spans() for value in (span.attributes or {}).values())


async def test_fastapi_routers_keep_their_prefix(spans: Recorder) -> None:
    router = APIRouter(prefix="/v1")

    @router.get("/chat/{item}")
    async def chat(item: str) -> str:
        return item

    app = FastAPI(telemetry={"tracing": False})
    app.include_router(router, prefix="/api")
    await ask(MeshsloMiddleware(app, tracer_provider=spans.provider), "/api/v1/chat/7")
    assert attributes(spans)["http.route"] == "/api/v1/chat/{item}"


async def test_labels_come_from_baggage_and_headers_win(spans: Recorder) -> None:
    baggage = "tenant.id=from-baggage,gen_ai.request.model=small,meshslo.route=/v1/chat,meshslo.caller=gateway,prompt=secret"
    await drive(
        MeshsloMiddleware(echo, tracer_provider=spans.provider),
        headers=[(b"baggage", baggage.encode()), (b"x-tenant-id", b"acme"), (b"x-envoy-attempt-count", b"2")],
    )
    seen = attributes(spans)
    assert (seen[names.TENANT], seen[names.MODEL], seen[names.ROUTE]) == ("acme", "small", "/v1/chat")
    assert (seen[names.CALLER], seen[names.ATTEMPT]) == ("gateway", 2)
    assert "prompt" not in seen


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})


async def test_an_outermost_service_may_trust_nobody(spans: Recorder) -> None:
    app = MeshsloMiddleware(echo, ServerSettings(trusts_callers=False), tracer_provider=spans.provider)
    parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await drive(
        app,
        headers=[
            (b"traceparent", parent),
            (b"baggage", b"tenant.id=forged,meshslo.caller=forged"),
            (b"x-tenant-id", b"forged"),
        ],
    )
    assert names.TENANT not in attributes(spans)
    assert names.CALLER not in attributes(spans)
    assert f"{spans.one().context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"


async def test_what_a_service_states_lands_on_its_later_spans(spans: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        current_call().set(tenant="acme", model="large", input_tokens=3)
        spans.provider.get_tracer("mine").start_span("inner").end()
        await echo(scope, receive, send)

    await drive(MeshsloMiddleware(app, tracer_provider=spans.provider))
    inner = dict(spans.one(SpanKind.INTERNAL).attributes or {})
    assert (inner[names.TENANT], inner[names.MODEL]) == ("acme", "large")
    assert attributes(spans)[names.INPUT_TOKENS] == 3


async def test_what_another_task_states_lands_on_the_requests_later_spans(spans: Recorder) -> None:
    async def state() -> None:
        current_call().set(tenant="acme")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.create_task(state())
        spans.provider.get_tracer("mine").start_span("inner").end()
        await echo(scope, receive, send)

    await drive(MeshsloMiddleware(app, tracer_provider=spans.provider))
    assert dict(spans.one(SpanKind.INTERNAL).attributes or {})[names.TENANT] == "acme"


async def test_requests_do_not_see_each_others_labels(spans: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        tenant = dict(scope["headers"])[b"t"].decode()
        current_call().set(tenant=tenant)
        await asyncio.sleep(0.01)
        spans.provider.get_tracer("mine").start_span(tenant).end()
        await echo(scope, receive, send)

    observed = MeshsloMiddleware(app, tracer_provider=spans.provider)
    await asyncio.gather(*(drive(observed, headers=[(b"t", f"t{n}".encode())]) for n in range(8)))
    inner = spans.spans(SpanKind.INTERNAL)
    assert {span.name for span in inner} == {f"t{n}" for n in range(8)}
    assert all(dict(span.attributes or {})[names.TENANT] == span.name for span in inner)


async def test_a_label_that_is_none_names_those_that_are(spans: Recorder) -> None:
    with pytest.raises(TypeError, match=r"tennant.*allowed are tenant"):
        current_call().set(tennant="acme")  # type: ignore[call-arg]


async def test_probes_and_other_protocols_are_no_calls(spans: Recorder) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await echo(scope, receive, send)

    observed = MeshsloMiddleware(app, tracer_provider=spans.provider)
    await ask(observed, "/healthz")
    await observed({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert spans.spans() == []


async def test_an_app_mounted_in_another_is_observed_once(spans: Recorder) -> None:
    inner = MeshsloMiddleware(echo, tracer_provider=spans.provider)
    await ask(app_of(spans, Mount("/inner", app=inner)), "/inner/x")
    assert len(spans.spans()) == 1


@pytest.mark.parametrize("outermost", ["theirs", "ours"])
async def test_beside_the_contrib_middleware_there_is_one_server_span(spans: Recorder, outermost: str) -> None:
    def ours(app: Any) -> Any:
        return MeshsloMiddleware(app, tracer_provider=spans.provider)

    def theirs(app: Any) -> Any:
        return OpenTelemetryMiddleware(app, tracer_provider=spans.provider)

    await ask(theirs(ours(echo)) if outermost == "theirs" else ours(theirs(echo)))
    assert attributes(spans)[names.OUTCOME] == "ok"
    assert len(spans.spans(SpanKind.SERVER)) == 1


async def test_below_fastapis_own_telemetry_its_span_is_written_to(spans: Recorder) -> None:
    app = FastAPI(telemetry={"tracer_provider": spans.provider, "operation_spans": False})

    @app.get("/chat/{item}")
    async def chat(item: str) -> StreamingResponse:
        current_call().set(model="small")

        async def chunks() -> AsyncIterator[str]:
            yield ROLE
            yield WORD

        return StreamingResponse(chunks(), media_type="text/event-stream")

    app.add_middleware(MeshsloMiddleware, tracer_provider=spans.provider)
    await ask(app, "/chat/7", headers={"x-tenant-id": "acme"})
    seen = attributes(spans)
    assert (seen[names.OUTCOME], seen[names.CHUNKS], seen["http.route"]) == ("ok", 2, "/chat/{item}")
    assert (seen[names.TENANT], seen[names.MODEL]) == ("acme", "small")


@pytest.mark.parametrize("framework", ["fastapi", "starlette"])
async def test_around_a_framework_with_telemetry_there_is_one_server_span(spans: Recorder, framework: str) -> None:
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("x")

    if framework == "fastapi":
        app: Any = FastAPI(telemetry={"tracer_provider": spans.provider, "operation_spans": False})
        app.get("/chat/{item}")(endpoint)
    else:
        telemetry = Middleware(StarletteTelemetry, tracer_provider=spans.provider)
        app = Starlette(routes=[Route("/chat/{item}", endpoint)], middleware=[telemetry])
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await ask(MeshsloMiddleware(app, tracer_provider=spans.provider), "/chat/7", headers={"traceparent": parent})
    assert len(spans.spans(SpanKind.SERVER)) == 1
    assert (attributes(spans)[names.OUTCOME], attributes(spans)["http.route"]) == ("ok", "/chat/{item}")


async def test_the_context_is_as_before_after_a_request(spans: Recorder) -> None:
    before = trace.get_current_span()
    await drive(MeshsloMiddleware(echo, tracer_provider=spans.provider))
    assert trace.get_current_span() is before
    wait_for(lambda: len(spans.spans()) == 1, what="the span")
