"""Which of some rows are stored already, without reading an hour's files again at every step.

A hint of 64 bits a row is kept in memory, sorted, for the hours that were written last. A row whose hint is not among them is
new for certain; only for the others are the files asked.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from .hours import KEY, scan_files, span_hints

_Hints = npt.NDArray[np.uint64]
_MAX_HINTS: Final = 8_000_000
"""64 MB; an hour with more rows than that is asked for in its files each time."""


@dataclass
class _Hour:
    """The sorted hints of the rows in `files`."""

    files: set[Path] = field(default_factory=set)
    hints: _Hints = field(default_factory=lambda: np.empty(0, dtype=np.uint64))

    def add(self, hints: _Hints, *files: Path) -> None:
        """Count the rows of `files` in."""
        # Two sorted runs: a stable sort finds and merges them in linear time.
        self.hints = np.sort(np.concatenate([self.hints, np.sort(hints)]), kind="stable")
        self.files.update(files)

    def may_hold(self, hints: _Hints) -> npt.NDArray[np.bool_]:
        """For each of `hints`, whether it is among those of the hour."""
        if not len(self.hints):
            return np.zeros(len(hints), dtype=np.bool_)
        place = np.minimum(np.searchsorted(self.hints, hints), len(self.hints) - 1)
        return np.asarray(self.hints[place] == hints)


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
        hints = span_hints(calls["span_id"])
        maybe = pl.Series(known.may_hold(hints)) & calls["span_id"].is_not_null()
        if not maybe.any():
            return calls
        suspects = calls.filter(maybe).select(KEY)
        of_suspects = pl.col("span_id").is_in(suspects["span_id"].implode())
        present = scan_files(stored).filter(of_suspects).select(KEY).collect()
        return calls.join(present, on=KEY, how="anti", maintain_order="left")

    def _hour(self, hour: datetime, stored: Sequence[Path]) -> _Hour:
        """The hints of `hour`, those of files not seen before read in; hours asked about longest ago make room."""
        known = self._hours.pop(hour, None) or _Hour()
        unseen = [path for path in stored if path not in known.files]
        if unseen:
            known.add(span_hints(scan_files(unseen).select("span_id").collect().to_series()), *unseen)
        self._hours[hour] = known
        while len(self._hours) > 1 and sum(len(other.hints) for other in self._hours.values()) > self._max_hints:
            self._hours.popitem(last=False)
        if len(known.hints) > self._max_hints:
            del self._hours[hour]
        return known
