"""Counts rows by group and histogram bucket: the one group-by everything rests on, at tens of millions of rows a second.

A general group-by keeps every (group, bucket) in a hash table, millions of entries that no cache holds. Here only the groups
are looked up, tens of thousands (see `groups`); the buckets of a group are neighbours in an array. Adding up is then one pass
over dense integers, beside the engine's threads, which prepare the next rows meanwhile.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from . import histogram
from .groups import Grouping, Ints

Indices = NDArray[np.int16]

MAX_CELLS: Final = 48_000_000
"""Beyond this many cells (of 4 bytes, or 20 with weights), groups times buckets seen in any, `count` gives up."""
MAX_ROWS: Final = 2**32 - 1
"""What a cell can count to: beyond this many rows `count` gives up, too."""

_BATCH_ROWS: Final = 125_000
_SPARE: Final = 3 * 2**histogram.SCALE
_MIN_ROWS: Final = 1 << 16
_UNSEEN: Final = -(1 << 15)


class Counted(NamedTuple):
    """What was counted, where there is any.

    totals: the words of each group, once for the rows where the value was not seen and once where it was (`seen`), and their
    count, weight and weight_sq. cells: group (row of totals), index, count, weight, weight_sq, in order of the first two.
    """

    totals: pl.DataFrame
    cells: pl.DataFrame


def count(rows: pl.LazyFrame, groups: Grouping, *, weighted: bool) -> Counted | None:
    """Count `rows` by `groups`, and in each group by the bucket of `value_s` (null: not seen).

    Without `weighted` every row weighs 1, else its `weight`. None where there are too many for that.
    """
    counts = _Counts(groups, weighted=weighted)
    index = histogram.index_expr(pl.col("value_s")).fill_null(_UNSEEN).alias("index")
    query = rows.select(*groups.columns, index, *(["weight"] if weighted else []))
    # Batches are counted here while the engine's threads prepare the next ones: a sink's callback would hold one of them up.
    batches = query.collect_batches(maintain_order=False, engine="streaming")
    for part in (part for batch in batches for part in batch.iter_slices(_BATCH_ROWS)):
        counts.add(part)
        if counts.too_many:
            return None
    return counts.counted()


class _Counts:
    """Counts by group and bucket; sums of weights and of their squares beside them where calls have any.

    A row is a group. Its first column counts what was not seen, the others the buckets from `_low` to before `_high`.
    """

    def __init__(self, groups: Grouping, *, weighted: bool) -> None:
        self.groups = groups
        self.too_many = False
        self._rows = self._filled = 0
        self._low, self._high = 0, 0
        self._sums: list[NDArray[Any]] = [np.zeros((0, 1), np.uint32), *(np.zeros((0, 1)) for _ in range(2 * weighted))]

    def add(self, part: pl.DataFrame) -> None:
        """Count some rows; where there are too many, `too_many` says so and the counts are of no use."""
        index = part["index"].to_numpy()
        self._make_room(index)
        cell = self.groups.first_cell(part, self._sums[0].shape[1])
        # Of which there may be new ones.
        self._make_room(index)
        self._rows += part.height
        self.too_many = self.too_many or self._rows > MAX_ROWS
        if self.too_many:
            return
        # The lowest column takes what was not seen; raised first, since so small a number less another would not fit.
        cell += np.maximum(index, self._low - 1) - (self._low - 1)
        # numpy adds fast where it need not convert.
        np.add.at(self._sums[0].reshape(-1), cell, np.uint32(1))
        if len(self._sums) > 1:
            weight = part["weight"].to_numpy()
            np.add.at(self._sums[1].reshape(-1), cell, weight)
            np.add.at(self._sums[2].reshape(-1), cell, weight**2)
        self._filled = len(self.groups)

    def _make_room(self, index: Indices) -> None:
        """A row for each group and a column for each bucket."""
        rows, columns = self._sums[0].shape
        groups = len(self.groups)
        low, high = self._range(index)
        if groups <= rows and self._low <= low and high <= self._high:
            return
        if columns > 1:
            low, high = min(low, self._low), max(high, self._high)
        self.too_many = self.too_many or groups * (high - low + 1) > MAX_CELLS
        if self.too_many:
            return
        # With room to spare, since what was counted is copied. Memory that nothing is counted in is never taken.
        spared = groups if self.groups.complete else max(4 * groups, _MIN_ROWS)
        self._grow(max(rows, spared), low - _SPARE * (low < self._low), high + _SPARE * (high > self._high))

    def _range(self, index: Indices) -> tuple[int, int]:
        seen = index if index.min(initial=0) > _UNSEEN else index[index > _UNSEEN]
        return (int(seen.min()), int(seen.max()) + 1) if len(seen) else (self._low, self._high)

    def _grow(self, rows: int, low: int, high: int) -> None:
        at = self._low - low + 1
        for number, old in enumerate(self._sums):
            new = np.zeros((rows, high - low + 1), old.dtype)
            new[: self._filled, 0] = old[: self._filled, 0]
            new[: self._filled, at : at + old.shape[1] - 1] = old[: self._filled, 1:]
            self._sums[number] = new
        self._low, self._high = low, high

    def counted(self) -> Counted:
        """What was counted."""
        words = self.groups.words()
        columns = self._sums[0].shape[1]
        flat = [sums[: words.height].reshape(-1) for sums in self._sums]
        # Of booleans: numpy finds these many times as fast as numbers.
        cell = np.flatnonzero(flat[0] != 0)
        # The cells of a group: where the value was not seen, then the buckets.
        first_cells = np.arange(words.height)[:, np.newaxis] * columns + np.array([0, 1])
        edges = np.append(np.searchsorted(cell, first_cells.reshape(-1)), len(cell))
        length = np.diff(edges)
        used = np.flatnonzero(length)
        index = cell - np.repeat(used // 2 * columns, length[used]) + (self._low - 1)
        values = _values([sums[cell] for sums in flat])
        totals = words[used // 2].with_columns(
            pl.Series("seen", used % 2 == 1), *_totals(values, edges[:-1][used], weighted=len(flat) > 1)
        )
        cells = pl.DataFrame(
            [
                pl.Series("group", np.repeat(np.arange(len(used), dtype=np.uint32), length[used])),
                _index(index.astype(np.int16), edges[:-1][used[used % 2 == 0]]),
                *values,
            ]
        )
        return Counted(totals, cells)


def _values(sums: list[NDArray[Any]]) -> list[pl.Series]:
    """count, weight and weight_sq from these, or from the count alone where every row weighs 1."""
    count, *weights = sums
    named = pl.Series("count", count.astype(np.uint64))
    if weights:
        return [named, *(pl.Series(name, sum_) for name, sum_ in zip(("weight", "weight_sq"), weights, strict=True))]
    weight = pl.Series("weight", count.astype(np.float64))
    # The same numbers, not a copy of them.
    return [named, weight, weight.alias("weight_sq")]


def _totals(values: list[pl.Series], first: Ints, *, weighted: bool) -> list[pl.Series]:
    """The sums of `values` from each row of `first` to before the next."""
    sums = [
        np.add.reduceat(series.to_numpy(), first) if len(first) else series.to_numpy() for series in values[: 1 + 2 * weighted]
    ]
    if not weighted:
        sums += [sums[0].astype(np.float64)] * 2
    return [pl.Series(series.name, sum_) for series, sum_ in zip(values, sums, strict=True)]


def _index(index: Indices, unseen: Ints) -> pl.Series:
    series = pl.Series("index", index, dtype=histogram.INDEX_TYPE)
    return series.scatter(unseen, None) if len(unseen) else series
