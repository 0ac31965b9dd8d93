"""gRPC aio on a real loopback server: both sides of an RPC, for every way in which it can end."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from opentelemetry.trace import SpanKind

from meshslo.telemetry import current_call, hop, names
from meshslo.telemetry.grpc_aio import grpc_client_interceptors, grpc_server_interceptor
from tests.support.net import free_port
from tests.support.telemetry import Recorder, duration_s, recorder

METHOD = "/models.Generator/Generate"


@dataclass
class Pair:
    """A channel to a server, and what each side recorded."""

    channel: grpc.aio.Channel
    client: Recorder
    server: Recorder

    def stream(self, **options: Any) -> Any:
        return self.channel.unary_stream(METHOD)(b"ask", **options)

    def unary(self, **options: Any) -> Any:
        return self.channel.unary_unary(METHOD)(b"ask", **options)

    async def seen(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Attributes of the client's and of the server's span, once both have arrived."""
        for _ in range(400):
            if self.client.spans(SpanKind.CLIENT) and self.server.spans(SpanKind.SERVER):
                break
            await asyncio.sleep(0.01)
        return (
            dict(self.client.one(SpanKind.CLIENT).attributes or {}),
            dict(self.server.one(SpanKind.SERVER).attributes or {}),
        )


@asynccontextmanager
async def pair(make: Callable[[Any], Any], function: Any) -> AsyncIterator[Pair]:
    client, server_side = recorder("gateway"), recorder("generator")
    server = grpc.aio.server(interceptors=[grpc_server_interceptor(tracer_provider=server_side.provider)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("models.Generator", {"Generate": make(function)}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    target = f"127.0.0.1:{port}"
    interceptors = grpc_client_interceptors(target, tracer_provider=client.provider)
    async with grpc.aio.insecure_channel(target, interceptors=interceptors) as channel:
        yield Pair(channel, client, server_side)
    await server.stop(None)


streams = grpc.unary_stream_rpc_method_handler
answers = grpc.unary_unary_rpc_method_handler


async def three(request: bytes, context: Any) -> AsyncIterator[bytes]:
    for _ in range(3):
        await asyncio.sleep(0.02)
        yield b"x"


async def endless(request: bytes, context: Any) -> AsyncIterator[bytes]:
    for _ in range(3):
        yield b"x"
    await asyncio.sleep(60)


async def test_a_streamed_rpc_is_measured_to_its_last_message_on_both_sides() -> None:
    async with pair(streams, three) as both:
        assert [message async for message in both.stream(metadata=(("x-tenant-id", "acme"),))] == [b"x"] * 3
        client, server = await both.seen()
    for side in (client, server):
        assert (side[names.OUTCOME], side[names.CHUNKS], side["rpc.method"]) == ("ok", 3, METHOD[1:])
        assert side[names.MAX_GAP_S] >= 0.02
        assert side[names.FIRST_TOKEN_S] >= 0.02
        assert side[names.TENANT] == "acme"
    assert server[names.CALLER] == "gateway"
    assert duration_s(both.client.one()) >= 0.06
    assert both.client.one().name == METHOD[1:]
    parent = both.server.one(SpanKind.SERVER).parent
    assert parent is not None
    assert parent.span_id == both.client.one().context.span_id


async def test_a_unary_rpc_is_measured_on_both_sides() -> None:
    async def answer(request: bytes, context: Any) -> bytes:
        current_call().set(model="small")
        return b"done"

    async with pair(answers, answer) as both:
        assert await both.unary() == b"done"
        client, server = await both.seen()
    assert (client[names.OUTCOME], server[names.OUTCOME], server[names.MODEL]) == ("ok", "ok", "small")


async def test_leaving_a_stream_is_cancelled_on_both_sides() -> None:
    async with pair(streams, endless) as both:
        rpc = both.stream()
        received = 0
        async for _ in rpc:
            received += 1
            if received == 3:
                break
        await asyncio.sleep(0.05)
        rpc.cancel()
        client, server = await both.seen()
    assert (client[names.OUTCOME], client[names.CHUNKS]) == ("cancelled", 3)
    assert client[names.OPEN_GAP_S] >= 0.05
    assert (server[names.OUTCOME], server[names.CHUNKS]) == ("cancelled", 3)
    assert server[names.OPEN_GAP_S] >= 0.04


@pytest.mark.slow
async def test_a_stream_nobody_closed_ends_at_its_last_message() -> None:
    async with pair(streams, endless) as both:
        rpc = both.stream()
        messages = aiter(rpc)
        for _ in range(3):
            await anext(messages)
        await asyncio.sleep(0.3)
        del rpc, messages
        for _ in range(3):  # the collector finds the generators first, then what they held
            await asyncio.sleep(0.05)
            gc.collect()
        client, server = await both.seen()
    assert (client[names.OUTCOME], client[names.CHUNKS], client[names.OPEN_GAP_S]) == ("cancelled", 3, 0.0)
    assert duration_s(both.client.one(SpanKind.CLIENT)) < 0.3
    assert server[names.OUTCOME] == "cancelled"


async def test_a_deadline_is_a_timeout_and_named_on_both_sides() -> None:
    async with pair(streams, endless) as both:
        with pytest.raises(grpc.aio.AioRpcError):
            [message async for message in both.stream(timeout=1.0)]
        client, server = await both.seen()
    assert (client[names.OUTCOME], client["error.type"], client["rpc.grpc.status_code"]) == ("timeout", "DEADLINE_EXCEEDED", 4)
    assert (server[names.OUTCOME], server["error.type"]) == ("timeout", "DEADLINE_EXCEEDED")
    assert client[names.CHUNKS] == server[names.CHUNKS] == 3


async def test_a_callee_that_dies_in_the_middle_is_an_error_on_both_sides() -> None:
    async def dying(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield b"x"
        raise ValueError("no more")

    async with pair(streams, dying) as both:
        with pytest.raises(grpc.aio.AioRpcError):
            [message async for message in both.stream()]
        client, server = await both.seen()
    assert (client[names.OUTCOME], client[names.CHUNKS], client["error.type"]) == ("error", 1, "UNKNOWN")
    assert (server[names.OUTCOME], server["error.type"]) == ("error", "ValueError")


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "rejected"),
        (grpc.StatusCode.UNAVAILABLE, "error"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "timeout"),
    ],
)
async def test_an_aborted_rpc_has_the_outcome_of_its_status(code: grpc.StatusCode, outcome: str) -> None:
    async def abort(request: bytes, context: Any) -> bytes:
        await context.abort(code, "not now")
        return b""

    async with pair(answers, abort) as both:
        with pytest.raises(grpc.aio.AioRpcError):
            await both.unary()
        client, server = await both.seen()
    assert (client[names.OUTCOME], client["error.type"]) == (outcome, code.name)
    assert (server[names.OUTCOME], server["rpc.grpc.status_code"]) == (outcome, code.value[0])


async def test_cancelling_a_unary_rpc_cancels_the_callee() -> None:
    async def slow(request: bytes, context: Any) -> bytes:
        started.set()
        await asyncio.sleep(60)
        return b""

    started = asyncio.Event()
    async with pair(answers, slow) as both:
        rpc = both.unary()
        await started.wait()
        rpc.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rpc
        client, server = await both.seen()
    assert (client[names.OUTCOME], server[names.OUTCOME]) == ("cancelled", "cancelled")


async def test_messages_written_to_the_context_are_chunks_too() -> None:
    async def writing(request: bytes, context: Any) -> None:
        await context.write(b"x")
        await context.write(b"y")

    async with pair(streams, writing) as both:
        assert [message async for message in both.stream()] == [b"x", b"y"]
        _, server = await both.seen()
    assert (server[names.OUTCOME], server[names.CHUNKS]) == ("ok", 2)


async def test_messages_can_be_read_and_written_one_by_one() -> None:
    async def echo(requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async with pair(grpc.stream_stream_rpc_method_handler, echo) as both:
        rpc = both.channel.stream_stream(METHOD)()
        done: list[Any] = []
        rpc.add_done_callback(done.append)
        await rpc.write(b"a")
        assert await rpc.read() == b"a"
        await rpc.done_writing()
        assert await rpc.read() is grpc.aio.EOF
        assert await rpc.code() is grpc.StatusCode.OK
        client, _ = await both.seen()
    assert (client[names.OUTCOME], client[names.CHUNKS], done) == ("ok", 1, [rpc])


async def test_streams_of_requests_are_measured_the_same() -> None:
    async def echo(requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async def asks() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    async with pair(grpc.stream_stream_rpc_method_handler, echo) as both:
        rpc = both.channel.stream_stream(METHOD)(asks())
        assert [message async for message in rpc] == [b"a", b"b"]
        client, server = await both.seen()
    assert (client[names.CHUNKS], server[names.CHUNKS]) == (2, 2)


async def test_what_the_handler_calls_is_a_child_of_its_rpc() -> None:
    async def answer(request: bytes, context: Any) -> bytes:
        with hop("cache", remote=False) as call:
            parents.append(call.span.parent.span_id)  # type: ignore[attr-defined]
        return b""

    parents: list[int] = []
    async with pair(answers, answer) as both:
        from opentelemetry import trace

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(trace, "get_tracer_provider", lambda: both.server.provider)
            await both.unary()
        await both.seen()
    assert parents == [both.server.one(SpanKind.SERVER).context.span_id]


async def test_a_server_that_is_not_there_is_no_success() -> None:
    client = recorder("gateway")
    target = f"127.0.0.1:{free_port()}"
    async with grpc.aio.insecure_channel(
        target, interceptors=grpc_client_interceptors(target, tracer_provider=client.provider)
    ) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary(METHOD)(b"ask")
    seen = dict(client.one().attributes or {})
    assert (seen[names.OUTCOME], seen["error.type"], seen["server.port"]) == ("error", "UNAVAILABLE", int(target[10:]))
