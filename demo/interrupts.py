"""Ctrl-C while requests are under way: the loop ends in order, and whoever waits for it is told."""

import asyncio
import signal
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

NUMBERS: Final = (signal.SIGINT, signal.SIGTERM)


def run_interruptible(work: Coroutine[Any, Any, _T]) -> _T:
    """What `work` returns. SIGINT or SIGTERM cancels it; KeyboardInterrupt then, once nothing of it runs any more.

    `asyncio.run` does so for Python's own handler alone: another's exception would break out of whichever task runs then, which
    the loop reports with a traceback.
    """
    came: list[int] = []
    try:
        return asyncio.run(_cancelled_by_signals(work, came))
    except asyncio.CancelledError:
        if came:
            raise KeyboardInterrupt from None
        raise


async def _cancelled_by_signals(work: Coroutine[Any, Any, _T], came: list[int]) -> _T:
    if threading.current_thread() is not threading.main_thread():
        return await work  # Signals come to the main thread.
    loop, mine = asyncio.get_running_loop(), asyncio.current_task()
    assert mine is not None

    def cancel(number: int) -> None:
        came.append(number)
        mine.cancel()

    before = {number: signal.getsignal(number) for number in NUMBERS}
    for number in NUMBERS:
        loop.add_signal_handler(number, cancel, number)
    try:
        return await work
    finally:
        for number, handler in before.items():
            # Removing alone would leave Python's defaults.
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
