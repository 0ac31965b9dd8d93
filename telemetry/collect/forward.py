"""Passing on what came in to another OTLP endpoint, such as Tempo or an OpenTelemetry Collector, over gRPC.

It has a bounded queue of its own and never makes a sender wait: while the other side is down batches queue up, and beyond the
limit the newest are dropped and counted. What is stored is so all the same.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
import grpc.aio

from .events import Say
from .settings import Target
from .signals import Signal

_TIMEOUT_S: Final = 10.0
_GRACE_S: Final = 5.0
_SENDERS: Final = 4
_LONGEST_PAUSE_S: Final = 5.0
_AGAIN: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
    }
)
"""Answers after which the same may be sent again."""


class Forwarder:
    """Sends batches on, a few at a time, from a queue of at most `max_bytes`."""

    def __init__(self, target: Target, max_bytes: int) -> None:
        self._target = target
        self._max_bytes = max_bytes
        self._queue: asyncio.Queue[tuple[Signal, bytes]] = asyncio.Queue()
        self.waiting_bytes = 0
        self.batches: Counter[str] = Counter()

    def offer(self, signal: Signal, payload: bytes) -> None:
        """Queue a batch, or drop it where the queue is full."""
        if self.waiting_bytes + len(payload) > self._max_bytes:
            self.batches["dropped"] += 1
            return
        self.waiting_bytes += len(payload)
        self._queue.put_nowait((signal, payload))

    @contextlib.asynccontextmanager
    async def running(self, say: Say) -> AsyncIterator[None]:
        """Forward within the context; at its end the queue gets a few seconds to empty, what is left is told."""
        channel = self._channel()
        sending = asyncio.gather(*(self._send_all(channel) for _ in range(_SENDERS)))
        try:
            yield
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._queue.join(), _GRACE_S)
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
            await channel.close()
            if self.waiting_bytes:
                say("not_forwarded", to=str(self._target), size_bytes=self.waiting_bytes, note="its calls are in the store")

    def _channel(self) -> grpc.aio.Channel:
        address = str(self._target.address)
        return (
            grpc.aio.secure_channel(address, grpc.ssl_channel_credentials())
            if self._target.tls
            else grpc.aio.insecure_channel(address)
        )

    async def _send_all(self, channel: grpc.aio.Channel) -> None:
        while True:
            signal, payload = await self._queue.get()
            self.batches[await self._send(channel, signal, payload)] += 1
            self.waiting_bytes -= len(payload)
            self._queue.task_done()

    async def _send(self, channel: grpc.aio.Channel, signal: Signal, payload: bytes) -> str:
        """Send until it is taken or refused for good: "forwarded" or "refused"."""
        export: Any = channel.unary_unary(signal.grpc_path)
        pause_s = 0.1
        while True:
            try:
                await export(payload, timeout=_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                if error.code() not in _AGAIN:
                    return "refused"
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                return "forwarded"
