"""Carries out a pull: asks only for what the store has not had yet, keeps each batch, remembers how far it came."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from meshslo.telemetry.errors import SourceError
from meshslo.telemetry.store import Appended, Store, open_store
from meshslo.telemetry.store.atomic import write_atomically
from meshslo.telemetry.store.metrics import MetricStore

from . import Ask, Batch, Puller

Window = tuple[datetime, datetime]

UNSETTLED: Final = timedelta(minutes=15)
"""How long spans of a trace may still arrive at the server: the newest part of a window is asked for again next time."""


@dataclass(frozen=True)
class Pulled:
    """What a pull has brought: call rows and metric rows that are new, those that were there already, and what to know."""

    calls: int
    series: int
    duplicates: int
    skipped_s: float
    """Seconds of the window that earlier pulls had brought, and that were not asked for again."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Progress:
    """The windows that a puller has brought into a store, in `STORE/pull/`."""

    path: Path

    @classmethod
    def of(cls, puller: Puller, ask: Ask, store: Path) -> "Progress":
        """That of this server, with these settings."""
        key = repr((puller.name, ask.server.url, ask.server.org_id, ask.settings))
        return cls(store / "pull" / f"{puller.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json")

    def covered(self) -> list[Window]:
        """Windows brought so far, apart from each other and in order."""
        if not self.path.exists():
            return []
        pairs = json.loads(self.path.read_bytes())["covered"]
        return [(datetime.fromisoformat(since), datetime.fromisoformat(until)) for since, until in pairs]

    def add(self, window: Window) -> None:
        """Note durably that `window` has been brought."""
        self.path.parent.mkdir(exist_ok=True)
        pairs = [[since.isoformat(), until.isoformat()] for since, until in joined([*self.covered(), window])]
        write_atomically(self.path, json.dumps({"covered": pairs}).encode())


def pull(
    puller: Puller, ask: Ask, path: str | Path, *, now: datetime, seen: Callable[[Batch], None] = lambda _: None
) -> Pulled:
    """Bring what `ask` names into the store at `path`; `seen` is told of each batch when it is kept.

    The store is made when the first rows have arrived, so that a server that cannot answer leaves nothing behind. Batches
    that arrived before a failure are kept, and the next pull goes on after them. Raises SourceError, also where the server
    holds nothing, and StoreError.
    """
    root = Path(path)
    if root.exists() and any(root.iterdir()):
        open_store(root)
    progress = Progress.of(puller, ask, root)
    wanted = list(gaps((ask.since, ask.until), progress.covered()))
    keeper = _Keeper(root, progress, now)
    try:
        for since, until in wanted:
            for batch in puller.read(replace(ask, since=since, until=until)):
                keeper.keep(batch)
                seen(batch)
    except SourceError as error:
        raise SourceError(f"{error}{keeper.left_behind()}") from error
    if wanted and not keeper.anything and not progress.path.exists():
        raise SourceError(
            f"{ask.server.url} answered, but holds nothing of {ask.since.isoformat()} to {ask.until.isoformat()}: "
            f"ask for another window with --since{_because(keeper.notes)}"
        )
    asked_s = sum((until - since).total_seconds() for since, until in wanted)
    return keeper.pulled((ask.until - ask.since).total_seconds() - asked_s)


class _Keeper:
    """Puts batches into a store, which it opens with the first rows."""

    def __init__(self, root: Path, progress: Progress, now: datetime) -> None:
        self.root, self.progress, self.settled = root, progress, now - UNSETTLED
        self.store: Store | None = None
        self.calls = self.series = self.duplicates = 0
        self.notes: dict[str, None] = {}
        self.reached: datetime | None = None

    @property
    def anything(self) -> bool:
        return bool(self.calls or self.series or self.duplicates)

    def keep(self, batch: Batch) -> None:
        """Store the rows, then note the window: a crash between the two asks again, and repeated rows are left out."""
        self.notes |= dict.fromkeys(batch.notes)
        if batch.calls is not None and not batch.calls.is_empty():
            self.calls += self._count(self._open().append(batch.calls, source=self.progress.path.stem))
        if batch.series is not None and not batch.series.is_empty():
            metrics = MetricStore(self._open().layout)
            self.series += self._count(metrics.append(batch.series, since=batch.since, until=batch.until))
        self.reached = batch.until
        until = min(batch.until, self.settled)
        if self.store is not None and until > batch.since:
            self.progress.add((batch.since, until))

    def pulled(self, skipped_s: float) -> Pulled:
        return Pulled(self.calls, self.series, self.duplicates, skipped_s, tuple(self.notes))

    def left_behind(self) -> str:
        """What of a pull that failed is in the store, and how to go on."""
        if not self.anything or self.reached is None:
            return ""
        counts = ((self.calls, "calls"), (self.series, "rows of metrics"))
        kept = " and ".join(f"{count} {what}" for count, what in counts if count) or "nothing new"
        until = self.reached.isoformat()
        return f". Kept is what came before, up to {until}: {kept}. The same command goes on there"

    def _open(self) -> Store:
        if self.store is None:
            self.store = open_store(self.root, create=True)
        return self.store

    def _count(self, appended: Appended) -> int:
        self.duplicates += appended.duplicates
        return appended.rows


def joined(windows: list[Window]) -> list[Window]:
    """The same times in windows that neither touch nor overlap, in order."""
    merged: list[Window] = []
    for since, until in sorted(windows):
        if merged and since <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(until, merged[-1][1]))
        else:
            merged.append((since, until))
    return merged


def gaps(window: Window, covered: list[Window]) -> Iterator[Window]:
    """What of `window` no window of `covered` holds, in order."""
    at, end = (moment.astimezone(UTC) for moment in window)
    for since, until in covered:
        if since > at:
            yield at, min(since, end)
        at = max(at, until)
        if at >= end:
            return
    if at < end:
        yield at, end


def _because(notes: dict[str, None]) -> str:
    return f" ({'; '.join(notes)})" if notes else ""
