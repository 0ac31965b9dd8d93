"""A timer of the caller's own is told from the caller's leaving, where that can be known."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx
import pytest
from opentelemetry import trace

from meshslo.telemetry import instrument_httpx, names, observe_stream, time_limit
from tests.support.telemetry import Recorder, recorder


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = recorder()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: made.provider)
    return made


async def silent(chunks: int = 2) -> AsyncIterator[str]:
    for _ in range(chunks):
        yield "x"
    await asyncio.Event().wait()


async def read(chunks: AsyncIterator[str]) -> None:
    async for _ in observe_stream(chunks):
        pass


def seen(spans: Recorder) -> tuple[Any, Any]:
    attributes = dict(spans.one().attributes or {})
    return attributes[names.OUTCOME], attributes.get("error.type")


async def test_a_timer_that_can_be_asked_is_a_timeout(spans: Recorder) -> None:
    with pytest.raises(TimeoutError):
        async with time_limit(0.02):
            await read(silent())
    assert seen(spans) == ("timeout", "TimeoutError")


async def test_a_deadline_of_anyio_says_so_by_itself(spans: Recorder) -> None:
    with pytest.raises(TimeoutError), anyio.fail_after(0.02):
        await read(silent())
    assert seen(spans) == ("timeout", "TimeoutError")


async def test_a_timer_of_asyncio_cannot_be_known(spans: Recorder) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await read(silent())
    assert seen(spans) == ("cancelled", None)


async def test_leaving_under_a_timer_that_has_not_fired_is_cancelled(spans: Recorder) -> None:
    async def limited() -> None:
        async with time_limit(60):
            await read(silent())

    task = asyncio.create_task(limited())
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen(spans) == ("cancelled", None)


async def test_a_timer_that_fires_between_two_chunks_cut_the_stream(spans: Recorder) -> None:
    async def think() -> None:
        async with time_limit(0.02), observe_stream(silent()) as stream:
            await anext(stream)
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await think()
    assert seen(spans) == ("timeout", "TimeoutError")


async def test_an_outer_timer_counts_for_tasks_started_under_it(spans: Recorder) -> None:
    with pytest.raises(TimeoutError):
        async with time_limit(0.02), time_limit(60), asyncio.TaskGroup() as group:
            group.create_task(read(silent()))
    assert seen(spans) == ("timeout", "TimeoutError")


async def test_a_task_that_outlives_its_timer_is_cancelled_by_others(spans: Recorder) -> None:
    async def overrun() -> None:
        async with time_limit(0.01):
            started.append(asyncio.create_task(read(silent())))
            await asyncio.sleep(60)

    started: list[asyncio.Task[None]] = []
    with pytest.raises(TimeoutError):
        await overrun()
    (task,) = started
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen(spans) == ("cancelled", None)


async def test_a_timer_after_the_last_event_cut_nothing(spans: Recorder) -> None:
    async def finished() -> AsyncIterator[str]:
        yield "data: [DONE]\n\n"
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with time_limit(0.02):
            await read(finished())
    assert seen(spans) == ("ok", None)


async def test_a_client_under_a_timer_says_timeout_too(spans: Recorder) -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    client = instrument_httpx(httpx.AsyncClient(transport=httpx.MockTransport(never)), tracer_provider=spans.provider)
    with pytest.raises(TimeoutError):
        async with client, time_limit(0.02):
            await client.get("http://generator/")
    assert seen(spans) == ("timeout", "TimeoutError")
