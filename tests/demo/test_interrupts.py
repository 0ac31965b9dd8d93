"""A signal ends what runs in the loop, and nothing is left to complain."""

import asyncio
import os
import signal
from typing import NoReturn

import pytest

from meshslo.demo.interrupts import run_interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_every_request_and_interrupts_who_waits(
    number: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[int] = []

    async def request(place: int) -> None:
        try:
            await asyncio.sleep(600)
        finally:
            ended.append(place)

    async def load() -> None:
        async with asyncio.TaskGroup() as group:
            for place in range(3):
                group.create_task(request(place))
            await asyncio.sleep(0)
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        run_interruptible(load())
    assert sorted(ended) == [0, 1, 2]
    assert signal.getsignal(number) is before
    assert caplog.records == []


def test_what_is_returned_and_raised_passes() -> None:
    async def seven() -> int:
        return 7

    async def given_up() -> NoReturn:
        raise asyncio.CancelledError

    assert run_interruptible(seven()) == 7
    with pytest.raises(asyncio.CancelledError):
        run_interruptible(given_up())
