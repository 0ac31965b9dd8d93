"""observe_stream: every way in which a stream can end."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from meshslo.telemetry import names
from meshslo.telemetry.call import Call
from meshslo.telemetry.stream import ObservedAsyncStream, ObservedStream, observe_stream
from meshslo.telemetry.stream_clock import StreamClock
from tests.support.telemetry import Clock, Recorder, duration_s, recorder


class Scene:
    """A recorded span, and a clock that the test's streams turn."""

    def __init__(self) -> None:
        self.recorder: Recorder = recorder()
        self.clock = Clock()

    def call(self) -> Call:
        span = self.recorder.provider.get_tracer("meshslo").start_span("call", kind=SpanKind.CLIENT, start_time=10**18)
        return Call(span, StreamClock(self.clock), start_ns=10**18)

    def chunks(self, *waits_s: float, error: BaseException | None = None) -> Iterator[str]:
        for wait_s in waits_s:
            self.clock.pass_s(wait_s)
            yield "x"
        if error:
            self.clock.pass_s(1.0)
            raise error

    async def achunks(self, *waits_s: float, error: BaseException | None = None) -> AsyncIterator[str]:
        for chunk in self.chunks(*waits_s, error=error):
            yield chunk

    def seen(self) -> dict[str, object]:
        return dict(self.recorder.one().attributes or {}) | {"duration_s": duration_s(self.recorder.one())}


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_a_whole_stream_is_ok(scene: Scene) -> None:
    stream = ObservedAsyncStream(scene.achunks(2.0, 0.5, 1.5), scene.call())
    assert [chunk async for chunk in stream] == ["x", "x", "x"]
    seen = scene.seen()
    assert seen[names.OUTCOME] == "ok"
    assert (seen[names.FIRST_TOKEN_S], seen[names.MAX_GAP_S], seen[names.CHUNKS]) == (2.0, 1.5, 3)
    assert seen["duration_s"] == pytest.approx(4.0)
    assert names.OPEN_GAP_S not in seen


async def test_a_stream_closed_early_was_cancelled_then(scene: Scene) -> None:
    stream = ObservedAsyncStream(scene.achunks(1.0, 1.0, 1.0, 1.0), scene.call())
    async with stream:
        for _ in range(3):
            await stream.__anext__()
        scene.clock.pass_s(5.0)
    seen = scene.seen()
    assert (seen[names.OUTCOME], seen[names.OPEN_GAP_S], seen[names.MAX_GAP_S]) == ("cancelled", 5.0, 5.0)
    assert seen["duration_s"] == pytest.approx(8.0)
    assert "error.type" not in seen
    assert scene.recorder.one().status.status_code is StatusCode.UNSET


async def test_a_stream_nobody_closed_ends_at_its_last_chunk(scene: Scene) -> None:
    stream = ObservedAsyncStream(scene.achunks(1.0, 1.0, 1.0, 1.0), scene.call())
    for _ in range(3):
        await stream.__anext__()
    scene.clock.pass_s(60.0)
    del stream
    gc.collect()
    seen = scene.seen()
    assert (seen[names.OUTCOME], seen[names.CHUNKS], seen[names.OPEN_GAP_S]) == ("cancelled", 3, 0.0)
    assert seen["duration_s"] == pytest.approx(3.0)


async def test_a_callee_that_dies_in_the_middle_is_an_error(scene: Scene) -> None:
    stream = ObservedAsyncStream(scene.achunks(1.0, 1.0, error=ConnectionResetError("gone")), scene.call())
    with pytest.raises(ConnectionResetError):
        [chunk async for chunk in stream]
    seen = scene.seen()
    assert (seen[names.OUTCOME], seen["error.type"], seen[names.OPEN_GAP_S]) == ("error", "ConnectionResetError", 1.0)
    assert scene.recorder.one().status.status_code is StatusCode.ERROR


async def test_a_timer_that_fires_is_a_timeout_and_named(scene: Scene) -> None:
    class ReadTimeoutError(TimeoutError):
        pass

    stream = ObservedAsyncStream(scene.achunks(1.0, error=ReadTimeoutError()), scene.call())
    with pytest.raises(ReadTimeoutError):
        [chunk async for chunk in stream]
    seen = scene.seen()
    assert seen[names.OUTCOME] == "timeout"
    assert str(seen["error.type"]).endswith("ReadTimeoutError")


async def test_a_task_that_is_cancelled_cancels_its_stream(scene: Scene) -> None:
    async def endless() -> AsyncIterator[str]:
        yield "x"
        await asyncio.Event().wait()

    async def read() -> None:
        async for _ in ObservedAsyncStream(endless(), scene.call()):
            started.set()

    started = asyncio.Event()
    task = asyncio.create_task(read())
    await started.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scene.seen()[names.OUTCOME] == "cancelled"


def test_sync_streams_end_in_the_same_ways(scene: Scene) -> None:
    assert list(ObservedStream(scene.chunks(1.0, 2.0), scene.call())) == ["x", "x"]
    with ObservedStream(scene.chunks(1.0, 2.0), scene.call()) as early:
        next(early)
    with pytest.raises(OSError, match="gone"):
        list(ObservedStream(scene.chunks(1.0, error=OSError("gone")), scene.call()))
    outcomes = [dict(span.attributes or {})[names.OUTCOME] for span in scene.recorder.spans()]
    assert outcomes == ["ok", "cancelled", "error"]


def test_closing_a_stream_that_timed_out_leaves_it_timed_out(scene: Scene) -> None:
    stream = ObservedStream(scene.chunks(1.0, error=TimeoutError()), scene.call())
    next(stream)
    with pytest.raises(TimeoutError):
        next(stream)
    stream.close()
    assert scene.seen()[names.OUTCOME] == "timeout"


def test_closing_gives_the_source_its_connection_back(scene: Scene) -> None:
    class Body:
        closed = False

        def __iter__(self) -> Iterator[str]:
            yield "x"

        def close(self) -> None:
            self.closed = True

    body = Body()
    stream = ObservedStream(body, scene.call())
    next(stream)
    stream.close()
    assert body.closed


def test_a_given_span_is_measured_from_its_start_and_ended(scene: Scene) -> None:
    span = scene.recorder.provider.get_tracer("mine").start_span("mine")
    stream = observe_stream(iter(["", "x"]), span=span, content=bool)
    assert list(stream) == ["", "x"]
    attributes = dict(scene.recorder.one().attributes or {})
    assert attributes[names.CHUNKS] == 2
    assert attributes[names.STREAMING] is True
    assert 0.0 <= float(str(attributes[names.FIRST_TOKEN_S])) <= duration_s(scene.recorder.one())


def test_a_stream_of_a_model_is_a_client_span_named_by_convention(monkeypatch: pytest.MonkeyPatch, scene: Scene) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: scene.recorder.provider)
    stream = observe_stream(iter(["x"]), attributes={names.OPERATION: "chat", names.MODEL: "small"})
    list(stream)
    plain = observe_stream(iter(["x"]))
    list(plain)
    model, other = scene.recorder.spans()
    assert (model.name, model.kind) == ("chat small", SpanKind.CLIENT)
    assert (other.name, other.kind) == ("stream", SpanKind.INTERNAL)


def test_tokens_are_read_from_usage_or_stated(monkeypatch: pytest.MonkeyPatch, scene: Scene) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: scene.recorder.provider)
    list(observe_stream(iter([{"usage": {"prompt_tokens": 3, "completion_tokens": 5}}])))
    stream = observe_stream(iter(["x"]))
    stream.tokens(output_tokens=9)
    list(stream)
    read, stated = (dict(span.attributes or {}) for span in scene.recorder.spans())
    assert (read[names.INPUT_TOKENS], read[names.OUTPUT_TOKENS]) == (3, 5)
    assert stated[names.OUTPUT_TOKENS] == 9


def test_a_stream_says_while_it_runs_what_it_has_seen(scene: Scene) -> None:
    stream = ObservedStream(scene.chunks(1.0, 3.0), scene.call())
    next(stream)
    next(stream)
    assert (stream.times.max_gap_s, stream.outcome) == (3.0, None)
    list(stream)
    assert stream.outcome == "ok"


def test_a_call_that_is_closed_untold_was_left_then(scene: Scene) -> None:
    call = scene.call()
    scene.clock.pass_s(2.0)
    call.close()
    call.complete()
    assert (scene.seen()[names.OUTCOME], scene.seen()["duration_s"]) == ("cancelled", pytest.approx(2.0))


def test_what_else_the_wrapped_stream_can_do_stays_in_reach(scene: Scene) -> None:
    class Stream(list[str]):
        response = "the response"

    stream = ObservedStream(Stream("ab"), scene.call())
    assert stream.response == "the response"
    with pytest.raises(AttributeError):
        _ = stream.nothing
    assert list(stream) == ["a", "b"]


def test_nothing_of_the_context_leaks_to_the_consumer(scene: Scene) -> None:
    before = trace.get_current_span()
    for _ in ObservedStream(scene.chunks(1.0, 1.0), scene.call()):
        assert trace.get_current_span() is before
