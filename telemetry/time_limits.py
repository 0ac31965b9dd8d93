"""`time_limit`: a timer of the caller's own whose firing is told apart from the caller's leaving.

When `asyncio.timeout` or `asyncio.wait_for` fires, the task is cancelled, and nothing in the cancellation says that a timer
was behind it: such a call reads `cancelled`. A timer that the calls under it can ask is told truly. anyio says it by itself.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final

ANYIO_REASON: Final = "reason: deadline exceeded"
"""What anyio (`fail_after`, `move_on_after`) writes into the cancellation by a deadline, since 4.10."""


class _Limit:
    """A timer while it is in force: a task started under it may outlive it, and is then cancelled by somebody else."""

    def __init__(self, timer: asyncio.Timeout) -> None:
        self.timer = timer
        self.in_force = True


_LIMITS: Final[ContextVar[tuple[_Limit, ...]]] = ContextVar("meshslo-time-limits", default=())


@asynccontextmanager
async def time_limit(seconds: float | None) -> AsyncIterator[asyncio.Timeout]:
    """`asyncio.timeout(seconds)`: TimeoutError when the time is over, and the calls that it cuts read `timeout`.

    async with time_limit(30):
        async for chunk in observe_stream(chunks):
            ...
    """
    async with asyncio.timeout(seconds) as timer:
        limit = _Limit(timer)
        token = _LIMITS.set((*_LIMITS.get(), limit))
        try:
            yield timer
        finally:
            limit.in_force = False
            _LIMITS.reset(token)


def timer_fired(error: BaseException | None = None) -> bool:
    """Whether a timer that can be asked, or that `error` names, made the running code leave."""
    if isinstance(error, asyncio.CancelledError) and ANYIO_REASON in str(error):
        return True
    return any(limit.in_force and limit.timer.expired() for limit in _LIMITS.get())
