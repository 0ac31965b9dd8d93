"""How a call ended, from what was raised: who gave up, and was it ever executed.

The status rules are in `outcome`; here are the exceptions of asyncio, of httpx (by name: it need not be installed) and of
the standard library.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from .outcome import outcome_of_status
from .time_limits import timer_fired
from .vocabulary import Outcome

NEVER_EXECUTED: Final = frozenset(
    {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ConnectionRefusedError"}
)
"""Exceptions (of httpx, httpcore, openai and the standard library) raised before the callee had the request.

A connect or pool timeout is one: a timer fired, but nothing ran, so it says nothing of the callee's latency. Envoy counts
its own connect timeout the same way (flag UF)."""

TIMERS: Final = frozenset({"TimeoutException", "TimeoutError", "APITimeoutError"})
"""Base classes of exceptions that a timer raised."""

LEFT: Final = frozenset({"ClientDisconnect"})
"""Exceptions by which a server learns that its caller went away."""


@dataclass(frozen=True)
class Ending:
    """The outcome of a call, whether its response was received whole, and what error.type to state."""

    outcome: Outcome
    complete: bool
    error_type: str | None = None
    grpc_status: int | None = None


LEAVING: Final = Ending("cancelled", complete=False)
"""The caller went away before the end; by convention that is no error, so there is no error.type."""

LEFT_BY_TIMER: Final = Ending("timeout", complete=False, error_type="TimeoutError")
"""The caller went away because a timer of its own had fired; named as what the timer raises in the end."""


def ending_of_leaving(error: BaseException | None = None) -> Ending:
    """The ending of a call that its caller gives up now, by `error` where one was raised: `cancelled`, or a timer's doing."""
    return LEFT_BY_TIMER if timer_fired(error) else LEAVING


def ending_of_status(status_code: int | None) -> Ending:
    """The ending of a response that was received whole.

    >>> ending_of_status(200).complete, ending_of_status(504).outcome
    (True, 'timeout')
    """
    outcome = outcome_of_status(status_code) or "ok"
    return Ending(outcome, complete=True, error_type=None if outcome == "ok" else str(status_code))


def ending_of_exception(error: BaseException) -> Ending:
    """The ending of a call that `error` broke off: cancelled, rejected, timeout, else error."""
    if isinstance(error, asyncio.CancelledError | GeneratorExit | KeyboardInterrupt):
        return ending_of_leaving(error)
    status = grpc_status_of(error)
    if status is not None:
        return ending_of_grpc(*status)
    ancestry = {kind.__name__ for kind in type(error).__mro__}
    if ancestry & LEFT:
        return LEAVING
    outcome: Outcome = "rejected" if ancestry & NEVER_EXECUTED else "timeout" if ancestry & TIMERS else "error"
    return Ending(outcome, complete=False, error_type=error_type(error))


def ending_of_grpc(number: int, name: str) -> Ending:
    """The ending of an RPC with this status; only OK came whole.

    >>> ending_of_grpc(4, "DEADLINE_EXCEEDED").outcome, ending_of_grpc(0, "OK").complete
    ('timeout', True)
    """
    outcome = outcome_of_status(None, number) or "ok"
    told = outcome in ("ok", "cancelled")
    return Ending(outcome, complete=number == 0, error_type=None if told else name, grpc_status=number)


def grpc_status_of(error: BaseException) -> tuple[int, str] | None:
    """Number and name of the status that an exception of gRPC carries; None for any other exception."""
    code = getattr(error, "code", None)
    if "RpcError" not in {kind.__name__ for kind in type(error).__mro__} or not callable(code):
        return None
    status = code()
    return (status.value[0], status.name) if status is not None else None


def error_type(error: BaseException) -> str:
    """The exception's full name, such as `httpx.ReadTimeout`: which timer, which failure.

    >>> error_type(ValueError())
    'ValueError'
    """
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
