"""gRPC with threads on a real loopback server: both sides of an RPC, for every way in which it can end."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any

import grpc
import pytest
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.trace import SpanKind

from meshslo.telemetry import current_call, names
from meshslo.telemetry.grpc_sync import grpc_sync_client_interceptors, grpc_sync_server_interceptor
from tests.support.net import free_port
from tests.support.telemetry import Recorder, duration_s, recorder

METHOD = "/models.Generator/Generate"


@dataclass
class Pair:
    """A channel to a server, and what each side recorded."""

    channel: grpc.Channel
    client: Recorder
    server: Recorder

    def stream(self, **options: Any) -> Any:
        return self.channel.unary_stream(METHOD)(b"ask", **options)

    def seen(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Attributes of the client's and of the server's span, once both have arrived."""
        client, server = self.client.one(SpanKind.CLIENT), self.server.one(SpanKind.SERVER)
        return dict(client.attributes or {}), dict(server.attributes or {})


@contextmanager
def pair(make: Callable[[Any], Any], function: Any) -> Iterator[Pair]:
    client, server_side = recorder("gateway"), recorder("generator")
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, interceptors=[grpc_sync_server_interceptor(tracer_provider=server_side.provider)])
        handlers = grpc.method_handlers_generic_handler("models.Generator", {"Generate": make(function)})
        server.add_generic_rpc_handlers((handlers,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        target = f"127.0.0.1:{port}"
        interceptors = grpc_sync_client_interceptors(target, tracer_provider=client.provider)
        with grpc.insecure_channel(target) as channel:
            yield Pair(grpc.intercept_channel(channel, *interceptors), client, server_side)
        server.stop(None).wait()


streams = grpc.unary_stream_rpc_method_handler
answers = grpc.unary_unary_rpc_method_handler


def three(request: bytes, context: Any) -> Iterator[bytes]:
    for _ in range(3):
        time.sleep(0.02)
        yield b"x"


@pytest.fixture
def never() -> Iterator[Event]:
    """What an endless handler waits for; set at the end, so that its thread ends."""
    event = Event()
    yield event
    event.set()


def endless(never: Event) -> Callable[[bytes, Any], Iterator[bytes]]:
    def stream(request: bytes, context: Any) -> Iterator[bytes]:
        yield from (b"x", b"x", b"x")
        while context.is_active() and not never.wait(0.01):
            pass

    return stream


def test_a_streamed_rpc_is_measured_to_its_last_message_on_both_sides() -> None:
    with pair(streams, three) as both:
        assert list(both.stream(metadata=(("x-tenant-id", "acme"),))) == [b"x"] * 3
        client, server = both.seen()
    for side in (client, server):
        assert (side[names.OUTCOME], side[names.CHUNKS], side["rpc.method"]) == ("ok", 3, METHOD[1:])
        assert side[names.TENANT] == "acme"
    # A caller that is woken late finds messages side by side.
    assert server[names.MAX_GAP_S] >= 0.02
    assert 0.0 < client[names.MAX_GAP_S] < duration_s(both.client.one())
    assert server[names.CALLER] == "gateway"
    assert duration_s(both.client.one()) >= 0.06
    parent = both.server.one(SpanKind.SERVER).parent
    assert parent is not None
    assert parent.span_id == both.client.one().context.span_id


@pytest.mark.parametrize("ask", [lambda rpc: rpc(b"ask"), lambda rpc: rpc.future(b"ask").result()])
def test_one_answer_is_measured_on_both_sides(ask: Callable[[Any], bytes]) -> None:
    def answer(request: bytes, context: Any) -> bytes:
        current_call().set(model="small")
        return b"done"

    with pair(answers, answer) as both:
        assert ask(both.channel.unary_unary(METHOD)) == b"done"
        client, server = both.seen()
    assert (client[names.OUTCOME], client["rpc.grpc.status_code"]) == ("ok", 0)
    assert (server[names.OUTCOME], server[names.MODEL]) == ("ok", "small")


def test_leaving_a_stream_is_cancelled_on_both_sides(never: Event) -> None:
    with pair(streams, endless(never)) as both:
        rpc = both.stream()
        for _ in range(3):
            next(rpc)
        time.sleep(0.05)
        rpc.cancel()
        client, server = both.seen()
    assert (client[names.OUTCOME], client[names.CHUNKS]) == ("cancelled", 3)
    assert client[names.OPEN_GAP_S] >= 0.05
    assert (server[names.OUTCOME], server[names.CHUNKS]) == ("cancelled", 3)
    assert server[names.OPEN_GAP_S] >= 0.04


def test_a_deadline_is_a_timeout_and_named_on_both_sides(never: Event) -> None:
    with pair(streams, endless(never)) as both:
        with pytest.raises(grpc.RpcError):
            list(both.stream(timeout=1.0))
        client, server = both.seen()
    for side in (client, server):
        assert (side[names.OUTCOME], side["error.type"], side[names.CHUNKS]) == ("timeout", "DEADLINE_EXCEEDED", 3)


def test_a_callee_that_dies_in_the_middle_is_an_error_on_both_sides() -> None:
    def dying(request: bytes, context: Any) -> Iterator[bytes]:
        yield b"x"
        raise ValueError("no more")

    with pair(streams, dying) as both:
        with pytest.raises(grpc.RpcError):
            list(both.stream())
        client, server = both.seen()
    assert (client[names.OUTCOME], client[names.CHUNKS], client["error.type"]) == ("error", 1, "UNKNOWN")
    assert (server[names.OUTCOME], server["error.type"]) == ("error", "ValueError")


@pytest.mark.parametrize(
    ("code", "outcome"), [(grpc.StatusCode.RESOURCE_EXHAUSTED, "rejected"), (grpc.StatusCode.UNAVAILABLE, "error")]
)
def test_an_aborted_rpc_has_the_outcome_of_its_status(code: grpc.StatusCode, outcome: str) -> None:
    def abort(request: bytes, context: Any) -> bytes:
        context.abort(code, "not now")
        return b""

    with pair(answers, abort) as both:
        with pytest.raises(grpc.RpcError):
            both.channel.unary_unary(METHOD)(b"ask")
        client, server = both.seen()
    assert (client[names.OUTCOME], client["error.type"]) == (outcome, code.name)
    assert (server[names.OUTCOME], server["rpc.grpc.status_code"]) == (outcome, code.value[0])


def test_streams_of_requests_are_measured_the_same() -> None:
    with pair(grpc.stream_stream_rpc_method_handler, lambda requests, context: requests) as both:
        assert list(both.channel.stream_stream(METHOD)(iter([b"a", b"b"]))) == [b"a", b"b"]
        client, server = both.seen()
    assert (client[names.CHUNKS], server[names.CHUNKS]) == (2, 2)


def test_a_server_that_is_not_there_is_no_success() -> None:
    client = recorder("gateway")
    target = f"127.0.0.1:{free_port()}"
    with grpc.insecure_channel(target) as bare:
        channel = grpc.intercept_channel(bare, *grpc_sync_client_interceptors(target, tracer_provider=client.provider))
        with pytest.raises(grpc.RpcError):
            channel.unary_unary(METHOD)(b"ask")
    seen = dict(client.one().attributes or {})
    assert (seen[names.OUTCOME], seen["error.type"]) == ("error", "UNAVAILABLE")


def test_what_an_exporter_sends_is_no_call() -> None:
    with pair(answers, lambda request, context: b"") as both:
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            both.channel.unary_unary(METHOD)(b"spans")
        finally:
            detach(token)
        both.server.one(SpanKind.SERVER)
    assert not both.client.spans()
