"""What a span says of a stream that did not end well is right to 20 ms, for every library alike.

Truth is what the test's own clock reads where chunks come and go: a busy machine makes the streams slower, not the test wrong.
Where the machine stops between the test's reading and ours, both are right and differ: then the stream is made again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import grpc
import httpx
import httpx2
import openai
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from meshslo.telemetry import MeshsloMiddleware, instrument_httpx, instrument_openai, names
from meshslo.telemetry.grpc_aio import grpc_client_interceptors, grpc_server_interceptor
from tests.support.net import wait_for
from tests.support.telemetry import Recorder, duration_s, recorder, served

pytestmark = pytest.mark.slow

WITHIN_S: Final = 0.02
WAITS_S: Final = (0.03, 0.08, 0.02)
"""Before each of the three chunks."""
SILENCE_S: Final = 0.06
"""Between the third chunk and the end."""
TIMER_S: Final = 0.4
TRIES: Final = 20
OUTCOMES: Final = {"abandoned": "cancelled", "dies": "error", "timer": "timeout"}
WORD: Final = b'data: {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n'
CUT: Final = (httpx.HTTPError, httpx2.HTTPError, openai.OpenAIError, grpc.aio.AioRpcError)
"""What callers learn by that a stream broke off; openai lets through what its HTTP library raises in the middle of one."""
METHOD: Final = "/models.Generator/Generate"


def timer_s(ending: str) -> float:
    return TIMER_S if ending == "timer" else 60.0


@dataclass
class Truth:
    """When a stream began, gave chunks and ended, read by the test itself."""

    began_s: float = field(default_factory=time.perf_counter)
    chunks_s: list[float] = field(default_factory=list)
    ended_s: float = 0.0

    NAMES: ClassVar = (names.FIRST_TOKEN_S, names.OPEN_GAP_S, names.MAX_GAP_S, "duration_s")

    def begin(self) -> None:
        self.began_s = time.perf_counter()

    def chunk(self) -> None:
        self.chunks_s.append(time.perf_counter())

    def end(self) -> None:
        self.ended_s = self.ended_s or time.perf_counter()

    async def read(self, chunks: AsyncIterator[Any], ending: str) -> None:
        """Read `chunks` as a caller who, if that is the ending, leaves after the third and some thought."""
        with suppress(*CUT):
            async for _ in chunks:
                self.chunk()
                if ending == "abandoned" and len(self.chunks_s) == 3:
                    await asyncio.sleep(SILENCE_S)
                    break
        self.end()

    async def made(self, ending: str) -> AsyncIterator[bytes]:
        """Chunks as a callee makes them, until it dies, runs into a timer of its own, or is told to stop."""
        self.begin()
        try:
            for wait_s in WAITS_S:
                await asyncio.sleep(wait_s)
                self.chunk()
                yield WORD
            if ending == "dies":
                await asyncio.sleep(SILENCE_S)
                raise ValueError("no more")
            async with asyncio.timeout(SILENCE_S if ending == "timer" else None):
                await asyncio.Event().wait()
        finally:
            self.end()

    def times(self) -> dict[str, float]:
        gaps_s = [later - earlier for earlier, later in zip(self.chunks_s, self.chunks_s[1:], strict=False)]
        open_gap_s = self.ended_s - self.chunks_s[-1]
        first_token_s = self.chunks_s[0] - self.began_s
        moments_s = (first_token_s, open_gap_s, max([*gaps_s, open_gap_s]), self.ended_s - self.began_s)
        return dict(zip(self.NAMES, moments_s, strict=True))


@asynccontextmanager
async def callee(ending: str) -> AsyncIterator[str]:
    """The base URL of a server that streams three events, and then is silent or breaks off."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.append(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for wait_s in WAITS_S:
            await asyncio.sleep(wait_s)
            writer.write(b"%x\r\n%b\r\n" % (len(WORD), WORD))
        if ending == "dies":
            await asyncio.sleep(SILENCE_S)
            writer.transport.abort()
        else:
            # A question's body, if one is still unread, then the caller's leaving.
            while await reader.read(1000):
                pass
            writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    answering: list[Any] = []
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    await asyncio.gather(*answering)


async def httpx_client(ending: str, truth: Truth, spans: Recorder) -> None:
    async with callee(ending) as url, httpx.AsyncClient(timeout=timer_s(ending)) as client:
        instrument_httpx(client, tracer_provider=spans.provider)
        truth.begin()
        async with client.stream("GET", url) as response:
            await truth.read(response.aiter_raw(), ending)


async def openai_client(ending: str, truth: Truth, spans: Recorder) -> None:
    async with (
        callee(ending) as url,
        openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0, timeout=timer_s(ending)) as client,
    ):
        instrument_openai(client, tracer_provider=spans.provider)
        truth.begin()
        stream = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "?"}], stream=True)
        await truth.read(stream, ending)
        await stream.close()


@asynccontextmanager
async def rpc_server(handler: Any, *interceptors: Any) -> AsyncIterator[str]:
    server = grpc.aio.server(interceptors=interceptors)
    methods = {"Generate": grpc.unary_stream_rpc_method_handler(handler)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("models.Generator", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


def generating(ending: str, truth: Truth) -> Callable[[bytes, Any], AsyncIterator[bytes]]:
    """A handler whose timer, if that is the ending, is the RPC's deadline."""

    async def generate(request: bytes, context: Any) -> AsyncIterator[bytes]:
        async for chunk in truth.made("abandoned" if ending == "timer" else ending):
            yield chunk

    return generate


async def grpc_client(ending: str, truth: Truth, spans: Recorder) -> None:
    async with rpc_server(generating(ending, Truth())) as target:
        interceptors = grpc_client_interceptors(target, tracer_provider=spans.provider)
        async with grpc.aio.insecure_channel(target, interceptors=interceptors) as channel:
            await channel.channel_ready()
            truth.begin()
            rpc = channel.unary_stream(METHOD)(b"ask", timeout=timer_s(ending))
            await truth.read(rpc, ending)
            rpc.cancel()


async def grpc_server(ending: str, truth: Truth, spans: Recorder) -> None:
    observer = grpc_server_interceptor(tracer_provider=spans.provider)
    async with rpc_server(generating(ending, truth), observer) as target, grpc.aio.insecure_channel(target) as channel:
        await channel.channel_ready()
        rpc = channel.unary_stream(METHOD)(b"ask", timeout=timer_s(ending))
        await Truth().read(rpc, ending)
        rpc.cancel()
        await asyncio.to_thread(wait_for, lambda: bool(truth.ended_s), what="the handler's end")


async def asgi_server(ending: str, truth: Truth, spans: Recorder) -> None:
    app = MeshsloMiddleware(
        Starlette(routes=[Route("/", lambda request: StreamingResponse(truth.made(ending), media_type="text/event-stream"))]),
        tracer_provider=spans.provider,
    )

    async def at_the_server(scope: Any, receive: Any, send: Any) -> None:
        async def listen() -> Any:
            message = await receive()
            if message["type"] == "http.disconnect":
                truth.end()
            return message

        await app(scope, listen, send)

    def ask() -> None:
        with httpx.Client() as client, client.stream("GET", url) as response:
            chunks = response.iter_raw()
            for _ in WAITS_S:
                next(chunks)
            if ending == "abandoned":
                time.sleep(SILENCE_S)
                left_s.append(time.perf_counter())
            else:
                with pytest.raises(httpx.RemoteProtocolError):
                    next(chunks)

    left_s: list[float] = []
    with served(at_the_server) as url:
        await asyncio.to_thread(ask)
        await asyncio.to_thread(spans.one)
    assert all(moment <= truth.ended_s for moment in left_s)


@pytest.mark.parametrize("ending", OUTCOMES)
@pytest.mark.parametrize("side", [asgi_server, httpx_client, openai_client, grpc_client, grpc_server])
async def test_a_stream_that_was_cut_is_told_truly(side: Callable[[str, Truth, Recorder], Any], ending: str) -> None:
    spans = recorder()
    # What a library loads on its first call would come between the test's clock and the call.
    await side(ending, Truth(), spans)
    spans.one()
    for _ in range(TRIES):
        spans.exporter.clear()
        truth = Truth()
        await side(ending, truth, spans)
        said, seen = times_in(spans.one())
        assert (seen[names.OUTCOME], seen[names.CHUNKS]) == (OUTCOMES[ending], 3)
        if said == pytest.approx(truth.times(), abs=WITHIN_S):
            break
    assert said == pytest.approx(truth.times(), abs=WITHIN_S)


def times_in(span: ReadableSpan) -> tuple[dict[str, float], dict[str, Any]]:
    seen: dict[str, Any] = dict(span.attributes or {})
    return {name: duration_s(span) if name == "duration_s" else seen[name] for name in Truth.NAMES}, seen
