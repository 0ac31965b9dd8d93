"""Plays the planned requests against the gateway's proxy and keeps what each user saw."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import httpx

from .interrupts import run_interruptible
from .load_plan import MAX_TOKENS, Ask
from .settings import CHAT

Ending = Literal["ok", "cut", "failed", "left"]
"""The whole answer; broken off or 504; another status or no connection; the user closed the page."""

GATEWAY_TIMEOUT: Final = 504


@dataclass(frozen=True)
class Seen:
    """What a user saw of one request; `tokens` counts those of whole answers."""

    ask: Ask
    ending: Ending
    duration_s: float
    status: int | None
    tokens: int = 0


@dataclass(frozen=True)
class Played:
    """What users saw, and how late this process woke up at most in 99 of 100 times: the machine's own delays."""

    seen: list[Seen]
    lag_s: float


def run_load(plan: Sequence[Ask], urls: Sequence[str], deadline_s: float, on_end: Callable[[Seen], None]) -> Played:
    """Send every request at its time, to the `urls` in turn; returns when the last has ended. `on_end` is told of each."""
    return run_interruptible(_watched(plan, urls, deadline_s, on_end))


async def _watched(plan: Sequence[Ask], urls: Sequence[str], deadline_s: float, on_end: Callable[[Seen], None]) -> Played:
    lags_s: list[float] = []
    watch = asyncio.create_task(_lags(lags_s))
    try:
        seen = await _play(plan, urls, deadline_s, on_end)
    finally:
        watch.cancel()
    return Played(seen, sorted(lags_s)[int(0.99 * len(lags_s))] if lags_s else 0.0)


async def _lags(lags_s: list[float], every_s: float = 0.05) -> None:
    """Note how much later than asked each sleep ends, until cancelled."""
    while True:
        asleep_s = time.monotonic()
        await asyncio.sleep(every_s)
        lags_s.append(time.monotonic() - asleep_s - every_s)


async def _play(plan: Sequence[Ask], urls: Sequence[str], deadline_s: float, on_end: Callable[[Seen], None]) -> list[Seen]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    began_s = time.monotonic()

    async def one(client: httpx.AsyncClient, ask: Ask) -> Seen:
        await asyncio.sleep(max(0.0, began_s + ask.at_s - time.monotonic()))
        seen = await _ask(client, urls[ask.number % len(urls)], ask)
        on_end(seen)
        return seen

    async with httpx.AsyncClient(timeout=deadline_s, limits=limits) as client, asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(client, ask)) for ask in plan]
    return [task.result() for task in tasks]


async def _ask(client: httpx.AsyncClient, url: str, ask: Ask) -> Seen:
    began_s = time.monotonic()
    status: list[int] = []
    tokens = 0
    ending: Ending = "failed"
    try:
        async with asyncio.timeout(ask.leaves_s):
            tokens = await _answer(client, url, ask, status)
        ending = "ok" if tokens else _ending(status[0])
    except (TimeoutError, httpx.TimeoutException):
        ending = "left"  # impatient, or the deadline has passed
    except httpx.TransportError:
        # After the headers a broken connection is a cut answer, before them no answer at all.
        ending = "cut" if status else "failed"
    return Seen(ask, ending, time.monotonic() - began_s, status[0] if status else None, tokens)


async def _answer(client: httpx.AsyncClient, url: str, ask: Ask, status: list[int]) -> int:
    """Tokens of the whole answer, 0 for a bad status; raises httpx.TransportError where the answer breaks off."""
    headers = {"x-tenant-id": ask.tenant, "x-model": ask.model}
    async with client.stream("POST", url + CHAT, json=_body(ask), headers=headers) as response:
        status.append(response.status_code)
        pieces = [piece async for piece in response.aiter_raw()]
    if not response.is_success:
        return 0
    return _tokens(b"".join(pieces), streaming=ask.streaming)


def _body(ask: Ask) -> dict[str, object]:
    return {
        "model": ask.model,
        "messages": [{"role": "user", "content": "word " * ask.prompt_tokens}],
        "stream": ask.streaming,
        "max_tokens": MAX_TOKENS[ask.model],
        # What the simulated model is to answer; a real one would decide that itself.
        "metadata": {
            "number": str(ask.number),
            "prompt_tokens": str(ask.prompt_tokens),
            "answer_tokens": str(ask.answer_tokens),
            "poison": str(int(ask.poison)),
        },
    }


def _tokens(body: bytes, *, streaming: bool) -> int:
    """Tokens that the answer's usage names; 0 where a stream ended without its last event."""
    if not streaming:
        return int(json.loads(body)["usage"]["completion_tokens"])
    events = [line.removeprefix(b"data: ") for line in body.splitlines() if line.startswith(b"data: ")]
    if not events or events[-1] != b"[DONE]":
        return 0
    return int(json.loads(events[-2])["usage"]["completion_tokens"])


def _ending(status: int) -> Ending:
    """How an answer without tokens ended: a clean end of a stream without its last event was cut too."""
    return "cut" if status in (httpx.codes.OK, GATEWAY_TIMEOUT) else "failed"
