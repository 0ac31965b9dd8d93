"""The end of an ASGI application: what waits for its export goes out while there is still someone to send it.

Servers that are told to stop by SIGTERM (uvicorn, its workers and gunicorn's) let the application end, and then themselves by
that signal: a process that ends so runs no exit handlers, and whatever a batch still holds is gone.
"""

import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from opentelemetry import metrics, trace

LAST: Final = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})
"""What an application says once it has ended."""

_LOOK_S: Final = 0.02

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


def exporting_last(send: Send, tracer_provider: trace.TracerProvider | None) -> Send:
    """`send` for a lifespan: exports what waits before the application's last message."""

    async def answer(message: Message) -> None:
        if message["type"] in LAST:
            export_what_waits(tracer_provider or trace.get_tracer_provider(), metrics.get_meter_provider())
        await send(message)

    return answer


def export_what_waits(*providers: object) -> None:
    """Have `providers` export what they hold, for a few seconds at most; a collector that is down is not waited for."""
    # Not above: who exports by other means than `setup` need not load ours before.
    from .exporting import LAST_EXPORT_S, OUTLETS

    flushes = [flush for provider in providers if (flush := getattr(provider, "force_flush", None))]
    exporting = threading.Thread(target=lambda: [flush() for flush in flushes], name="meshslo-last-export", daemon=True)
    exporting.start()
    until_s = time.monotonic() + LAST_EXPORT_S
    while exporting.is_alive() and time.monotonic() < until_s and not any(outlet.complaints.first for outlet in list(OUTLETS)):
        exporting.join(_LOOK_S)
