"""Rollups that are kept: hours folded into days and months, so that a month's report reads one fold and not its calls.

A fold is of whole hours and of all calls in them, by `KEYS`. What of a window no fold tells is counted from its calls.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from meshslo.telemetry.store.folds import Fold, Folds, Span
from meshslo.telemetry.store.hours import hour_of
from meshslo.telemetry.store.store import Found
from meshslo.telemetry.vocabulary import PHASES, Phase

from .folding import KEYS, Rollup, piled
from .rollup import roll_up_in
from .scope import Scope

QUIET: Final = timedelta(minutes=10)
"""An hour is folded once it has been over for so long: most of its late calls have come by then."""
_MOST_ROWS: Final = 10_000_000
"""So many rows of counts are added up at once: some hundred MiB."""
_HOUR: Final = timedelta(hours=1)


class Level(NamedTuple):
    """A length of time that folds are made of: its name, and its first moment before another."""

    name: str
    bucket: str
    begins: Callable[[datetime], datetime]
    longest: timedelta

    def until(self, start: datetime) -> datetime:
        """The end of the span that begins at `start`."""
        return self.begins(start + self.longest)


LEVELS: Final = (
    Level("month", "1mo", lambda moment: moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0), timedelta(days=31)),
    Level("day", "1d", lambda moment: moment.replace(hour=0, minute=0, second=0, microsecond=0), timedelta(days=1)),
    Level("hour", "1h", lambda moment: moment.replace(minute=0, second=0, microsecond=0), _HOUR),
)
"""Longest first; each is whole ones of the next."""


class Step(NamedTuple):
    """How far making folds has come: spans made, of how many, and the one at hand."""

    done: int
    of: int
    level: str
    start: datetime


@dataclass(frozen=True)
class Kept:
    """What folds tell of a window, and the call files that none of them does."""

    rollups: list[Rollup]
    files: list[Path]


def usable(by: Sequence[str], bucket: str | None) -> tuple[Level, ...]:
    """The levels that can tell a rollup by these keys in these time buckets."""
    if not set(by) <= set(KEYS):
        return ()
    if bucket is None:
        return LEVELS
    number, unit = bucket.rstrip("hdw"), bucket.lstrip("0123456789")
    if not number.isdigit():
        return ()
    return {"h": LEVELS[2:], "d": LEVELS[1:], "w": LEVELS[1:]}.get(unit, ())


def read(folds: Folds, found: Found, phases: Sequence[Phase], levels: Sequence[Level]) -> Kept:
    """What folds tell of `found`, the longest first."""
    rollups: list[Rollup] = []
    left = found.files
    for level in levels:
        inside = [span for span in _spans(left, level) if _is_inside(span[0], level.until(span[0]), found)]
        told, kept = _read(folds, inside, phases, level)
        rollups += kept
        left = [path for path in left if path not in told]
    return Kept(rollups, left)


def _read(folds: Folds, spans: list[Span], phases: Sequence[Phase], level: Level) -> tuple[set[Path], list[Rollup]]:
    """The call files of those of `spans` that folds tell, and what they tell of each phase."""
    while spans := [(start, of) for start, of in spans if all(folds.has(level.name, start, of, phase) for phase in phases)]:
        kept = [folds.read(level.name, spans, phase) for phase in phases]
        whole = [Rollup(fold.totals, fold.counts, KEYS, level.bucket) for fold in kept if fold is not None]
        if len(whole) == len(phases):
            return {path for _, of in spans for path in of}, whole
    return set(), []


def make(folds: Folds, found: Found, now: datetime) -> Iterator[Step]:
    """Make the folds that are missing of `found`, a whole store's calls; each is kept at once. A step before each."""
    for level in LEVELS:
        folds.drop_others(level.name, [start for start, _ in _spans(found.files, level)])
    missing = [
        (level, start, files)
        for level in reversed(LEVELS)
        for start, files in _spans(found.files, level)
        if level.until(start) + QUIET <= now
        if not all(folds.has(level.name, start, files, phase) for phase in PHASES)
    ]
    for number, (level, start, files) in enumerate(missing):
        yield Step(number, len(missing), level.name, start)
        for phase in PHASES:
            rollup = _folded(folds, level, files, phase)
            folds.write(level.name, start, files, phase, Fold(rollup.totals, rollup.counts))


def _folded(folds: Folds, level: Level, files: Sequence[Path], phase: Phase) -> Rollup:
    """The rollup of the span that `files` are of: from their calls, or of a long span from its parts one after the other."""
    shorter = LEVELS[LEVELS.index(level) + 1 :]
    scope = Scope(KEYS, level.bucket, (phase,))
    if not shorter:
        return count(_all_of(files), scope)
    parts: list[Rollup] = []
    for _, part in _spans(files, shorter[0]):
        kept = read(folds, _all_of(part), [phase], shorter)
        parts += kept.rollups
        if kept.files:
            parts.append(count(_all_of(kept.files), scope))
        if sum(rollup.counts.height for rollup in parts) > _MOST_ROWS:
            parts = [piled(parts, KEYS, level.bucket)]
    return piled(parts, KEYS, level.bucket)


def count(found: Found, scope: Scope) -> Rollup:
    """The rollup of calls as a store has found them; by their kinds where the files number these."""
    by_kind = set(scope.keys) <= set(KEYS)
    numbered, rest = found.numbered() if by_kind else (None, found.calls())
    calls = [part for part in (numbered, rest) if part is not None] or [found.calls()]
    rollups = [roll_up_in(part, scope) for part in calls]
    return rollups[0] if len(rollups) == 1 else piled(rollups, scope.keys, scope.bucket)


def told(folds: Folds, found: Found, scope: Scope) -> Rollup:
    """The rollup of calls as a store has found them, as far as folds tell it from these."""
    kept = read(folds, found, scope.phases, usable(scope.keys, scope.bucket))
    if not kept.rollups:
        return count(found, scope)
    left = replace(found, files=kept.files)
    parts = list(kept.rollups)
    if left.files or not left.recent.is_empty():
        parts.append(count(left, scope))
    rollup = piled(parts, scope.keys, scope.bucket)
    # An answer must not depend on what was kept.
    return rollup if scope.extremes else rollup.without_extremes()


def _all_of(files: Sequence[Path]) -> Found:
    """All calls of `files`, and no others."""
    return Found(list(files), pl.DataFrame(), None, None)


def _spans(files: Sequence[Path], level: Level) -> list[Span]:
    """The spans of `level` that `files` are of, in order, each with its files."""
    ordered = sorted(files, key=lambda path: (hour_of(path), path.name))
    return [(start, list(of)) for start, of in groupby(ordered, key=lambda path: level.begins(hour_of(path)))]


def _is_inside(start: datetime, until: datetime, found: Found) -> bool:
    return (found.since is None or found.since <= start) and (found.until is None or until <= found.until)
