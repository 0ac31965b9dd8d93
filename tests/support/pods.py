"""Pods that answer as a test says, a real Envoy before them, and users who ask through it: each call as a row."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

import httpx
import numpy as np
import polars as pl

from tests.support.calls import EPOCH, make_call


@dataclass(frozen=True)
class Answer:
    """One answer: so long until its headers and first chunk, so long from there to its end; or it breaks off before that."""

    status: int = 200
    wait_s: float = 0.0
    stream_s: float = 0.0
    breaks: bool = False


@dataclass
class Pod:
    """A server on a port of its own that works on `slots` requests at a time; the others wait."""

    name: str
    answer: Callable[[int], Answer]
    slots: int = 1000
    version: str = "v1"
    port: int = 0
    asked: int = 0
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    async def serve(self) -> asyncio.Server:
        """Begin to listen."""
        self._gate = asyncio.Semaphore(self.slots)
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await reader.readuntil(b"\r\n\r\n"):
                    number, self.asked = self.asked, self.asked + 1
                    async with self._gate:
                        if not await self._answer(self.answer(number), writer):
                            break
        finally:
            writer.close()

    async def _answer(self, answer: Answer, writer: asyncio.StreamWriter) -> bool:
        """Send it; whether the connection goes on."""
        await asyncio.sleep(answer.wait_s)
        names = f"x-pod: {self.name}\r\nx-version: {self.version}\r\n"
        head = f"HTTP/1.1 {answer.status} X\r\n{names}transfer-encoding: chunked\r\n\r\n"
        writer.write(head.encode() + b"5\r\nfirst\r\n")
        await writer.drain()
        await asyncio.sleep(answer.stream_s)
        if answer.breaks:
            return False
        writer.write(b"4\r\nlast\r\n0\r\n\r\n")
        await writer.drain()
        return True


@contextmanager
def serving(pods: Sequence[Pod]) -> Iterator[None]:
    """The pods at work, in a thread of their own."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    servers = [asyncio.run_coroutine_threadsafe(pod.serve(), loop).result(10) for pod in pods]
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(_close(servers), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _close(servers: Sequence[asyncio.Server]) -> None:
    for server in servers:
        server.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    # Transports close in the loop's next round.
    await asyncio.sleep(0)


def ask_at(url: str, times_s: Sequence[float]) -> list[dict[str, Any]]:
    """One request at each time after now; the calls as the users saw them, rows for `make_calls`, in order."""
    return asyncio.run(_ask_all(url, times_s))


async def _ask_all(url: str, times_s: Sequence[float]) -> list[dict[str, Any]]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    began = time.monotonic()
    async with httpx.AsyncClient(timeout=60.0, limits=limits, trust_env=False) as client:

        async def one(at_s: float) -> dict[str, Any]:
            await asyncio.sleep(max(0.0, began + at_s - time.monotonic()))
            return await _ask(client, url, time.monotonic() - began)

        return list(await asyncio.gather(*map(one, times_s)))


async def _ask(client: httpx.AsyncClient, url: str, at_s: float) -> dict[str, Any]:
    began = time.monotonic()
    seen: dict[str, Any] = {"status_code": None, "first_byte_s": None, "first_token_s": None, "chunks": 0}
    broke = False
    try:
        async with client.stream("GET", url) as response:
            seen |= {"status_code": response.status_code, "first_byte_s": time.monotonic() - began}
            seen |= {"pod": response.headers.get("x-pod"), "version": response.headers.get("x-version")}
            async for _ in response.aiter_raw():
                seen["first_token_s"] = seen["first_token_s"] or time.monotonic() - began
                seen["chunks"] += 1
    except httpx.TransportError:
        broke = True
    return _row(seen, at_s, time.monotonic() - began, broke=broke)


def _row(seen: dict[str, Any], at_s: float, duration_s: float, *, broke: bool) -> dict[str, Any]:
    """The call as a row; Envoy's own refusals name no pod."""
    status = seen["status_code"]
    refused = status == 503 and seen.get("pod") is None
    outcome = "rejected" if refused else "error" if broke or status is None or status >= 500 else "ok"
    if outcome == "rejected":
        seen |= {"first_byte_s": None, "first_token_s": None, "response_flags": "UO"}
    return make_call(vantage="server", at_s=at_s, duration_s=duration_s, outcome=outcome, **seen)


def lateness_s(calls: pl.DataFrame, times_s: Sequence[float]) -> float:
    """How late requests were sent in the worst hundredth of cases: delays of the machine itself, in which nothing compares."""
    begun_s = (calls["start"] - EPOCH).dt.total_nanoseconds().to_numpy() * 1e-9
    return float(np.quantile(begun_s - np.array(times_s), 0.99))
