"""A store in a directory: rollups come from the folds it keeps and from its files' own numbers, calls from the files."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import groupby, islice
from pathlib import Path

import polars as pl

from meshslo.telemetry.store import Store, open_store
from meshslo.telemetry.store.folds import Folds
from meshslo.telemetry.store.hours import hour_of
from meshslo.telemetry.store.metrics import MetricStore

from . import folds
from .api import Bounds, CallStore, bounds_of
from .config import Limits
from .folding import KEYS, Rollup
from .rollup import roll_up_in
from .scope import Scope
from .spread import Places, of_numbered, of_rollup


@dataclass(frozen=True)
class DirectoryCalls(CallStore):
    """Calls in a directory."""

    files: Store | None = None

    def still(self) -> "DirectoryCalls":
        """See Reporting."""
        return replace(self, files=self._store.still())

    def fold(self, now: datetime, progress: Callable[[folds.Step], None] = lambda _: None) -> int:
        """Keep the rollups of all hours that are over by `now`, and of the days and months of these; how many were missing.

        Answers are the same without; with them they read no calls of these hours. StoreError where the directory may not be
        written.
        """
        made = 0
        for step in folds.make(self._folds, self._store.found(), now):
            progress(step)
            made = step.of
        return made

    def _count_calls(self, scope: Scope) -> Rollup:
        return folds.told(self._folds, self._store.found(scope.since, scope.until), scope)

    def _spread_calls(self, scope: Scope, places: Places) -> Iterator[pl.DataFrame]:
        """Of whole hours and days from the folds that there are, else from the numbers of the files."""
        found = self._store.found(scope.since, scope.until)
        kept = folds.read(self._folds, found, scope.phases, folds.usable(scope.keys, scope.bucket))
        yield from (of_rollup(rollup, places) for rollup in kept.rollups)
        numbered, rest = replace(found, files=kept.files).numbered() if set(scope.keys) <= set(KEYS) else (None, found.calls())
        if numbered is not None:
            counted = of_numbered(numbered, scope.keys, scope.phases[0], places)
            yield of_rollup(roll_up_in(numbered, scope), places) if counted is None else counted
        if rest is not None:
            yield of_rollup(roll_up_in(rest, scope), places)

    def _starts(self, since: datetime | None, until: datetime | None) -> Bounds:
        found = self._store.found(since, until)
        of_hour = {hour: list(paths) for hour, paths in groupby(sorted(found.files, key=hour_of), key=hour_of)}

        def starts(hours: Iterable[datetime]) -> Iterator[Bounds]:
            """Of the first of `hours` that has calls in the window: files are by hour, so that one of each end tells."""
            bounds = (bounds_of(replace(found, files=of_hour[hour], recent=found.recent.clear()).calls()) for hour in hours)
            yield from islice((bound for bound in bounds if bound[0] is not None), 1)

        known = [*starts(of_hour), *starts(reversed(of_hour)), bounds_of(found.recent.lazy())]
        return (
            min((first for first, _ in known if first is not None), default=None),
            max((last for _, last in known if last is not None), default=None),
        )

    @property
    def _folds(self) -> Folds:
        return Folds(self._store.layout)

    @property
    def _store(self) -> Store:
        assert self.files is not None, "made by open_directory"  # noqa: S101 - a default only since base fields have some
        return self.files


def open_directory(path: Path, limits: Limits, *, create: bool = False) -> DirectoryCalls:
    """The calls in the store at `path`; with `create` an absent or empty directory becomes one.

    StoreError where there is none.
    """
    store = open_store(path, create=create)
    series = MetricStore(store.layout).series_if_any
    append = partial(store.append, source="frame")
    return DirectoryCalls(store.scan, str(path), limits, series, append=append, files=store)
