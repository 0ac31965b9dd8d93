"""Who gets through: requests of callers, each sent by its caller's way out, and what became of every caller and target."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import httpx
from rich.console import Console

from meshslo.dashboards import tables
from meshslo.demo.interrupts import run_interruptible

from .sidecars import ROUTE_HEADER

REFUSED: Final = 403
TIMEOUT_S: Final = 20.0
AT_A_TIME: Final = 16
"""Requests in progress: of more, those that wait for a connection cost more than those that have one."""


@dataclass(frozen=True)
class Path:
    """What a caller calls: a host or service and a path; `meant` is whether it is the caller's work."""

    caller: str
    host: str
    path: str
    meant: bool
    model: str = "small"
    tenant: str = ""

    @property
    def target(self) -> str:
        """What is called, in words."""
        return f"{self.host} {self.path}"


@dataclass(frozen=True)
class Errand:
    """One request, `at_s` after the run's start."""

    at_s: float
    path: Path


def plan_errands(counts: Mapping[Path, int], seconds: float, seed: int = 7) -> list[Errand]:
    """So many requests of each path, at times drawn once from a seed."""
    dice = random.Random(seed)
    drawn = [Errand(dice.uniform(0.0, seconds), path) for path, number in counts.items() for _ in range(number)]
    return sorted(drawn, key=lambda errand: errand.at_s)


def run_errands(errands: Sequence[Errand], ports: Mapping[str, int]) -> list[int]:
    """The status that each request got, 0 for none at all; `ports` of each caller's way out."""
    return run_interruptible(_run(errands, ports))


async def _run(errands: Sequence[Errand], ports: Mapping[str, int]) -> list[int]:
    began_s = time.monotonic()
    few = asyncio.Semaphore(AT_A_TIME)

    async def one(client: httpx.AsyncClient, errand: Errand) -> int:
        await asyncio.sleep(max(0.0, began_s + errand.at_s - time.monotonic()))
        async with few:
            return await _status(client, errand.path, ports[errand.path.caller])

    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client, asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(client, errand)) for errand in errands]
    return [task.result() for task in tasks]


async def _status(client: httpx.AsyncClient, path: Path, port: int) -> int:
    headers = {"host": path.host, "x-model": path.model, ROUTE_HEADER: path.path}
    headers |= {"x-tenant-id": path.tenant} if path.tenant else {}
    try:
        # Without a body: who answers before it has read one closes the connection, and the next needs a handshake.
        return (await client.post(f"http://127.0.0.1:{port}{path.path}", headers=headers)).status_code
    except httpx.TransportError:
        return 0


@dataclass(frozen=True)
class Tally:
    """What became of one caller's requests of one target."""

    caller: str
    target: str
    meant: bool
    asked: int
    passed: int
    refused: int


@dataclass(frozen=True)
class Passage:
    """A run; `reached` is how many requests the applications and hosts behind have counted themselves."""

    name: str
    tallies: tuple[Tally, ...]
    reached: int

    @property
    def requests(self) -> int:
        """All requests."""
        return sum(each.asked for each in self.tallies)

    @property
    def answered(self) -> int:
        """Those that got through."""
        return sum(each.passed for each in self.tallies)

    @property
    def refused(self) -> int:
        """Those that a proxy forbade."""
        return sum(each.refused for each in self.tallies)

    @property
    def failed(self) -> int:
        """Those that ended in any other way."""
        return self.requests - self.answered - self.refused

    def to_dict(self) -> dict[str, Any]:
        """The run as `scenario.json` has it."""
        counts = {name: getattr(self, name) for name in ("requests", "answered", "refused", "failed")}
        return {**asdict(self), **counts}


def tally(name: str, errands: Sequence[Errand], statuses: Sequence[int], reached: int) -> Passage:
    """What became of each caller and target, in order."""
    counted = Counter(zip((errand.path for errand in errands), statuses, strict=True))
    paths = sorted({errand.path for errand in errands}, key=lambda path: (path.caller, path.target))
    return Passage(name, tuple(_tally(path, counted) for path in paths), reached)


def _tally(path: Path, counted: Mapping[tuple[Path, int], int]) -> Tally:
    mine = {status: number for (other, status), number in counted.items() if other == path}
    passed = sum(number for status, number in mine.items() if httpx.codes.is_success(status))
    return Tally(path.caller, path.target, path.meant, sum(mine.values()), passed, mine.get(REFUSED, 0))


def holds(before: Passage, after: Passage) -> bool:
    """First everything gets through; then all that is meant, and nothing else; what was refused never arrived."""
    open_door = before.answered == before.requests == before.reached
    apart = all(each.passed == (each.asked if each.meant else 0) for each in after.tallies)
    return open_door and apart and after.failed == 0 and after.reached == after.answered


def show(runs: Sequence[Passage], console: Console) -> None:
    """Print every caller and target, with what became of its requests in each run."""
    table = tables.table(console)
    for name in ("caller", "calls", "meant"):
        table.add_column(name)
    for run in runs:
        table.add_column(run.name, justify="right")
    for row in zip(*(run.tallies for run in runs), strict=True):
        first = row[0]
        table.add_row(first.caller, tables.Name(first.target), "yes" if first.meant else "NO", *(_fate(each) for each in row))
    table.add_row("", "arrived behind the proxies", "", *(f"{run.reached:,}" for run in runs))
    tables.show(console, table)


def _fate(each: Tally) -> str:
    if each.passed == each.asked:
        return f"all {each.asked:,} pass"
    if each.refused == each.asked:
        return f"all {each.asked:,} refused"
    return f"{each.passed:,} pass, {each.refused:,} refused of {each.asked:,}"
