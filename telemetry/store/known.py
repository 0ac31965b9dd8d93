"""Which of some rows are stored already, without reading an hour's files again at every step.

A hint of 64 bits a row is kept in memory, sorted, for the rows that were written last. Of files whose hints had to make room it
is known when their calls began, and a call that comes again began when it did. Where neither its hint nor its time is known, a
row is new for certain; only for the others are files asked.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.parquet as pq

from meshslo.telemetry.schema import FRAME

from .hours import KEY, scan_files, span_hints

_Hints = npt.NDArray[np.uint64]
_MAX_HINTS: Final = 4_000_000
"""32 MB. At 100,000 spans a second these are the rows of the last half minute or so; exporters try again sooner than that."""


class _Began(NamedTuple):
    """When the first and the last of some calls began, in ns since the epoch."""

    first: int
    last: int

    @classmethod
    def of(cls, rows: pl.DataFrame) -> "_Began":
        """Of `rows`, at least one."""
        began = rows["start"].to_physical()
        return cls(began.min(), began.max())  # type: ignore[arg-type]  # of an Int64 column that is not empty


@dataclass
class _Run:
    """The sorted hints of the rows in `files`."""

    files: set[Path] = field(default_factory=set)
    hints: _Hints = field(default_factory=lambda: np.empty(0, dtype=np.uint64))

    def add(self, hints: _Hints, path: Path) -> None:
        """Count the rows of `path` in."""
        # Two sorted runs: a stable sort finds and merges them in linear time; in place, since a copy would be 16 MB.
        self.hints = np.concatenate([self.hints, np.sort(hints)])
        self.hints.sort(kind="stable")
        self.files.add(path)

    def may_hold(self, hints: _Hints) -> npt.NDArray[np.bool_]:
        """For each of `hints`, whether it is among those of the run."""
        if not len(self.hints):
            return np.zeros(len(hints), dtype=np.bool_)
        place = np.minimum(np.searchsorted(self.hints, hints), len(self.hints) - 1)
        return np.asarray(self.hints[place] == hints)


@dataclass
class _Hour:
    """The files of an hour that are known, and the hints of those that came last, in two runs of which the older one goes."""

    began: dict[Path, _Began] = field(default_factory=dict)
    young: _Run = field(default_factory=_Run)
    old: _Run = field(default_factory=_Run)

    def __len__(self) -> int:
        return len(self.young.hints) + len(self.old.hints)

    def add(self, rows: pl.DataFrame, path: Path, max_hints: int) -> None:
        """Count `rows` in, which are all of `path`; of more than half of `max_hints` no hint is kept."""
        self.began[path] = _Began.of(rows)
        if rows.height > max_hints // 2:
            return
        if len(self.young.hints) + rows.height > max_hints // 2:
            self.old, self.young = self.young, _Run()
        self.young.add(span_hints(rows["span_id"]), path)

    def may_hold(self, hints: _Hints) -> pl.Series:
        """For each of `hints`, whether it is among those that are kept."""
        # In order, neighbours are looked for in the same places: a fifth of the time.
        order = np.argsort(hints)
        found = np.empty(len(hints), dtype=np.bool_)
        found[order] = self.young.may_hold(hints[order]) | self.old.may_hold(hints[order])
        return pl.Series(found)

    def split(self, stored: Sequence[Path]) -> tuple[list[Path], list[Path]]:
        """Of `stored`, the files whose hints are kept, and the others."""
        kept = self.young.files | self.old.files
        return [path for path in stored if path in kept], [path for path in stored if path not in kept]


class KnownRows:
    """Remembers the rows of the hours that were asked about last, within a bounded memory."""

    def __init__(self, max_hints: int = _MAX_HINTS) -> None:
        self._max_hints = max_hints
        self._hours: OrderedDict[datetime, _Hour] = OrderedDict()

    def without_stored(self, calls: pl.DataFrame, hour: datetime, stored: Sequence[Path]) -> pl.DataFrame:
        """Those of `calls` (all of `hour`) whose key is in none of the `stored` files; rows without an id all stay."""
        if not stored or calls.is_empty():
            return calls
        known = self._hour(hour, stored)
        hinted, dated = known.split(stored)
        maybe = known.may_hold(span_hints(calls["span_id"]))
        if dated:
            first, last = min(known.began[path].first for path in dated), max(known.began[path].last for path in dated)
            maybe |= calls["start"].to_physical().is_between(first, last)
        maybe &= calls["span_id"].is_not_null()
        if not maybe.any():
            return calls
        present = _present(calls.filter(maybe), hinted, {path: known.began[path] for path in dated})
        # The vantage may be categorical.
        return calls.join(
            present, left_on=[pl.col(name).cast(FRAME[name]) for name in KEY], right_on=KEY, how="anti", maintain_order="left"
        )

    def add(self, calls: pl.DataFrame, hour: datetime, path: Path) -> None:
        """Remember `calls`, all of `hour`, as the rows of the file `path`, so that it need not be read."""
        known = self._hours.pop(hour, None) or _Hour()
        known.add(calls, path, self._max_hints)
        self._keep(hour, known)

    def _hour(self, hour: datetime, stored: Sequence[Path]) -> _Hour:
        """What is known of `hour`, files not seen before read in; hours asked about longest ago make room."""
        known = self._hours.pop(hour, None) or _Hour()
        for path in stored:
            if path not in known.began:
                # Of a file of more rows than could be kept the ids are not read: they alone would fill the memory.
                columns = ["start"] if pq.read_metadata(path).num_rows > self._max_hints // 2 else ["span_id", "start"]
                known.add(scan_files([path]).select(columns).collect(), path, self._max_hints)
        self._keep(hour, known)
        return known

    def _keep(self, hour: datetime, known: _Hour) -> None:
        self._hours[hour] = known
        while len(self._hours) > 1 and sum(map(len, self._hours.values())) > self._max_hints:
            self._hours.popitem(last=False)


def _present(suspects: pl.DataFrame, hinted: Sequence[Path], dated: dict[Path, _Began]) -> pl.DataFrame:
    """The keys of `suspects`' span ids in those of the files that may hold one."""
    first, last = _Began.of(suspects)
    overlapping = [path for path, began in dated.items() if began.first <= last and first <= began.last]
    since, until = (pl.lit(at_ns).cast(FRAME["start"]) for at_ns in (first, last))
    at_the_time = scan_files(overlapping).filter(pl.col("start").is_between(since, until))
    alike = pl.col("span_id").is_in(suspects["span_id"].implode())
    return pl.concat([scan_files(hinted), at_the_time]).filter(alike).select(KEY).collect()
