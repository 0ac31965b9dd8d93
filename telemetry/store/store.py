"""A store of call rows in a directory: scan what is there, append what is new."""

import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from meshslo.telemetry.errors import StoreError
from meshslo.telemetry.schema import FRAME, fit

from . import ingest
from .hours import KEY, scan_files, touches, without_repeats
from .ingest import Appended
from .kinds import Numbered, scan_numbered
from .known import KnownRows
from .layout import Layout, open_layout
from .segments import fresh_name
from .snapshot import Snapshot, take
from .spans import calls_of, read_arrived

_TRIES: Final = 50
_PAUSE_S: Final = 0.05


@dataclass(frozen=True)
class Store:
    """A directory of calls. Reading needs no running collector and disturbs none."""

    layout: Layout
    known: KnownRows = field(default_factory=KnownRows, repr=False, compare=False)
    """What was appended through here, so that the next part of an import need not read it again."""
    moment: "tuple[Snapshot, pl.DataFrame] | None" = field(default=None, repr=False, compare=False)
    """The files and recent calls of the one moment that is read, see `still`; None: of now."""

    @property
    def path(self) -> Path:
        """The store's directory."""
        return self.layout.root

    def still(self) -> "Store":
        """This store as it is now, for several questions of one answer: listed once, and what comes meanwhile is in none.

        Ask soon: files that a merge supersedes stay for a quarter of an hour.
        """
        return replace(self, moment=self._read())

    def scan(self, since: datetime | None = None, until: datetime | None = None) -> pl.LazyFrame:
        """Every acknowledged call that started in [since, until), as canonical rows (`telemetry.schema.FRAME`) in no order.

        What a collector has acknowledged but not yet moved to Parquet is decoded here and now. Collect the frame soon: files
        that a merge supersedes stay for a quarter of an hour. ValueError for a time without a zone.
        """
        return self.found(since, until).calls()

    def found(self, since: datetime | None = None, until: datetime | None = None) -> "Found":
        """Where the calls of `scan` lie."""
        for bound in (since, until):
            if bound is not None and bound.tzinfo is None:
                raise ValueError(f"{bound} has no time zone; pass an aware datetime, such as datetime(2026, 11, 2, tzinfo=UTC)")
        view, waiting = self._read()
        files = [path for path in view.calls if touches(path, since, until)]
        recent = _within(waiting.lazy(), since, until).collect()
        return Found(files, recent if recent.is_empty() else _unknown(recent, files), since, until)

    def append(self, calls: pl.DataFrame, *, source: str) -> Appended:
        """Add `calls` durably, each to its own start hour, but for those whose (trace_id, span_id, vantage) is there already.

        `source` names where they come from, in the file's name. Raises ValueError where they are no canonical rows.
        """
        stem = f"{fresh_name()}-{''.join(letter for letter in source if letter.isalnum() or letter in '-_')[:40]}"
        return ingest.append(self.layout, fit(calls), stem, self.known)

    def _read(self) -> tuple[Snapshot, pl.DataFrame]:
        """The files of one moment, and the calls that are still in its segments."""
        if self.moment is not None:
            return self.moment
        for _ in range(_TRIES):
            view = take(self.layout)
            try:
                return view, _calls_in(view)
            except FileNotFoundError:
                # The collector has moved a segment to Parquet between our listing and our reading: list again.
                time.sleep(_PAUSE_S)
        raise StoreError(f"{self.path}: segments went while being read, {_TRIES} times over; try again")


def open_store(path: str | Path, *, create: bool = False) -> Store:
    """The store at `path`; with `create`, an absent or empty directory becomes one.

    Raises StoreError where `path` is no store or was made by a newer version. A store without calls is a store.
    """
    return Store(open_layout(path, create=create))


@dataclass(frozen=True)
class Found:
    """The calls that started in [since, until): in `files`, which have others too, and `recent` ones that no file holds."""

    files: list[Path]
    recent: pl.DataFrame
    since: datetime | None
    until: datetime | None

    def calls(self) -> pl.LazyFrame:
        """All of them, as rows."""
        stored = _within(scan_files(self.files), self.since, self.until)
        return stored if self.recent.is_empty() else pl.concat([stored, self.recent.lazy()])

    def numbered(self) -> tuple[Numbered | None, pl.LazyFrame | None]:
        """All of them in two parts: those in files that number the kinds of their calls, and the others as rows."""
        numbered, others = scan_numbered(self.files)
        rest = [_within(scan_files(others), self.since, self.until)] if others else []
        rest += [] if self.recent.is_empty() else [self.recent.lazy()]
        if numbered is not None:
            numbered = replace(numbered, rows=_within(numbered.rows, self.since, self.until))
        return numbered, pl.concat(rest) if rest else None


def _unknown(recent: pl.DataFrame, files: list[Path]) -> pl.DataFrame:
    """Those of `recent` that no file holds."""
    known = _within(scan_files(files), recent["start"].min(), None).select(KEY)  # type: ignore[arg-type]  # a datetime
    return recent.lazy().join(known, on=KEY, how="anti").collect()


def _calls_in(view: Snapshot) -> pl.DataFrame:
    if not view.segments:
        return pl.DataFrame(schema=FRAME)
    arrived = read_arrived(view.segments)
    return without_repeats(calls_of(arrived.spans, arrived.logged))


def _within(calls: pl.LazyFrame, since: datetime | None, until: datetime | None) -> pl.LazyFrame:
    if since is not None:
        calls = calls.filter(pl.col("start") >= since)
    return calls if until is None else calls.filter(pl.col("start") < until)
