"""A load whose every attempt is written down beforehand, through a real Envoy: what its client saw, how often it was tried."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import polars as pl
import yaml

from tests.support.calls import make_call, make_calls
from tests.support.envoy import Envoy, bootstrap, running
from tests.support.net import free_port

TRIES: Final = 3
"""Attempts that are written down for each request."""


@dataclass(frozen=True)
class Attempt:
    """Headers after headers_s (a stream: before its chunks), the end after whole_s; status 0 breaks the connection instead."""

    status: int
    headers_s: float
    chunks_s: tuple[float, ...]


@dataclass(frozen=True)
class Request:
    """When it is made, and what each attempt meets."""

    at_s: float
    attempts: tuple[Attempt, ...]


@dataclass
class Seen:
    """What the client saw of a request; status 0 is none."""

    at_s: float
    duration_s: float = 0.0
    status: int = 0
    headers_s: float | None = None
    gaps_s: list[float] = field(default_factory=list)
    whole: bool = False

    def row(self) -> dict[str, Any]:
        """The call row of the request: seen by the proxy's client, ended by no timer but the proxy's."""
        outcome = "ok" if self.whole and self.status == 200 else "timeout" if self.status in (200, 408, 504) else "error"
        return make_call(
            caller="user", callee="generator", route="/", vantage="client", at_s=self.at_s, duration_s=self.duration_s,
            outcome=outcome, status_code=self.status or None, first_byte_s=self.headers_s, first_token_s=None,
            max_gap_s=max(self.gaps_s, default=None), chunks=len(self.gaps_s) or None, streaming=len(self.gaps_s) > 1,
        )  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A load played under one policy: what was seen, and the attempts that reached the callee."""

    seen: list[Seen]
    tries: int
    text: str
    lags_s: tuple[float, float]
    """How late this process woke up, in the worst twentieth of cases and at worst: so much too long calls may seem."""

    @property
    def calls(self) -> pl.DataFrame:
        """The requests as call rows."""
        return make_calls([each.row() for each in self.seen])

    @property
    def success_ratio(self) -> float:
        """Whole answers / requests."""
        return sum(each.whole and each.status == 200 for each in self.seen) / len(self.seen)

    @property
    def cut_ratio(self) -> float:
        """Requests that a timer of the proxy ended / requests."""
        return sum(each.row()["outcome"] == "timeout" for each in self.seen) / len(self.seen)

    @property
    def amplification(self) -> float:
        """Attempts / requests."""
        return self.tries / len(self.seen)


def script(requests: int, seconds: float, *, failing: float, seed: int) -> list[Request]:
    """Half of them streams with a pause now and then; a share `failing` of attempts is a 503 or breaks off."""
    rng = np.random.default_rng(seed)
    return [
        Request(at_s, tuple(_attempt(rng, failing) for _ in range(TRIES)))
        for at_s in np.sort(rng.uniform(0, seconds, requests))
    ]


def _attempt(rng: np.random.Generator, failing: float) -> Attempt:
    if rng.uniform() < failing:
        return Attempt(int(rng.choice([0, 503])), float(rng.uniform(0.02, 0.15)), ())
    whole_s = float(min(rng.lognormal(-1.4, 0.6), 1.5))
    if rng.uniform() < 0.5:
        return Attempt(200, whole_s, (0.0,))
    pause_s = float(rng.choice([0.0, 0.3], p=[0.85, 0.15]))
    return Attempt(200, 0.03, (whole_s / 3, whole_s / 3 + pause_s, whole_s / 3))


def play(requests: Sequence[Request], folder: Path, policy: dict[str, Any], cluster: dict[str, Any] | None = None) -> Run:
    """Send every request at its time through an Envoy with this route action and these cluster settings."""
    return asyncio.run(_play(requests, folder, policy, cluster or {}))


async def _play(requests: Sequence[Request], folder: Path, policy: dict[str, Any], cluster: dict[str, Any]) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    tries: Counter[int] = Counter()
    async with _upstream(requests, tries) as port:
        envoy = Envoy(free_port(), free_port())
        text = _bootstrap(envoy, port, policy, cluster)
        with running(folder, envoy, text):
            began_s = time.monotonic()
            limits, lags_s = httpx.Limits(max_connections=None), list[float]()
            watch = asyncio.create_task(_watch(lags_s))
            async with httpx.AsyncClient(base_url=envoy.url, limits=limits, timeout=10, trust_env=False) as client:
                seen = await asyncio.gather(*(_ask(client, n, each.at_s, began_s) for n, each in enumerate(requests)))
            watch.cancel()
    return Run(list(seen), sum(tries.values()), text, (float(np.quantile(lags_s, 0.95)), max(lags_s)))


async def _watch(lags_s: list[float], every_s: float = 0.01) -> None:
    while True:
        asleep_s = time.monotonic()
        await asyncio.sleep(every_s)
        lags_s.append(time.monotonic() - asleep_s - every_s)


async def _ask(client: httpx.AsyncClient, number: int, at_s: float, began_s: float) -> Seen:
    await asyncio.sleep(max(0.0, began_s + at_s - time.monotonic()))
    seen = Seen(time.monotonic() - began_s)
    start_s = last_s = time.monotonic()
    try:
        async with client.stream("GET", "/", headers={"x-number": str(number)}) as answer:
            seen.status, seen.headers_s = answer.status_code, time.monotonic() - start_s
            last_s = time.monotonic()
            async for _ in answer.aiter_raw():
                seen.gaps_s.append(time.monotonic() - last_s)
                last_s = time.monotonic()
        seen.whole = True
    except httpx.TransportError:
        seen.gaps_s.append(time.monotonic() - last_s)
    seen.duration_s = time.monotonic() - start_s
    return seen


@asynccontextmanager
async def _upstream(requests: Sequence[Request], tries: Counter[int]) -> AsyncIterator[int]:
    open_now: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                number = int(head.lower().split(b"x-number: ")[1].split(b"\r\n")[0])
                tries[number] += 1
                if not await _answer(requests[number].attempts[min(tries[number], TRIES) - 1], writer):
                    break
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the proxy has closed it, or the load is over
        finally:
            writer.close()
            open_now.discard(asyncio.current_task())

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        rest = [task for task in open_now if task is not None]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest)


async def _answer(attempt: Attempt, writer: asyncio.StreamWriter) -> bool:
    """Play an attempt; False where the connection is to be broken off."""
    await asyncio.sleep(attempt.headers_s)
    if attempt.status == 0:
        return False
    if attempt.status != 200:
        writer.write(f"HTTP/1.1 {attempt.status} no\r\ncontent-length: 0\r\n\r\n".encode())
        return True
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for pause_s in attempt.chunks_s:
        await writer.drain()
        await asyncio.sleep(pause_s)
        writer.write(b"4\r\nword\r\n")
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


def _bootstrap(envoy: Envoy, port: int, policy: dict[str, Any], cluster: dict[str, Any]) -> str:
    body = bootstrap(envoy, [port])
    static = body["static_resources"]
    manager = static["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    # A client learns of a cut HTTP/1.1 stream when its connection closes: at once, not after Envoy's second of grace.
    manager["delayed_close_timeout"] = "0.02s"
    manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"] |= policy
    static["clusters"][0] |= cluster
    return yaml.safe_dump(body)
