"""Counts rows by group and histogram bucket: the one group-by everything rests on, at tens of millions of rows a second.

A general group-by keeps every (group, bucket) in a hash table, millions of entries that no cache holds. Here only the groups
are looked up, tens of thousands, by a hash of their words; the buckets of a group are neighbours in an array. Adding up is then
one pass over dense integers.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from . import histogram

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

MAX_CELLS: Final = 48_000_000
"""Beyond this many cells (of 4 bytes, or 20 with weights), groups times buckets seen in any, `count` gives up."""
MAX_ROWS: Final = 2**32 - 1
"""What a cell can count to: beyond this many rows `count` gives up, too."""

_TABLE_BITS: Final = 22
_BATCH_ROWS: Final = 125_000
_SPARE: Final = 2**histogram.SCALE
_MIN_ROWS: Final = 1 << 16
_UNSEEN: Final = -(1 << 15)


class Counted(NamedTuple):
    """words: those of each group. cells: group (row of words), index, count, weight, weight_sq, in order of the first two."""

    words: pl.DataFrame
    cells: pl.DataFrame


def count(rows: pl.LazyFrame, words: Sequence[str], *, weighted: bool) -> Counted | None:
    """Count `rows` by their `words`, and in each group by the bucket of `value_s` (null: not seen).

    Without `weighted` every row weighs 1, else its `weight`. None where there are too many for that. Groups are told
    apart by a 64-bit hash: of a million groups two are mixed up with a chance of 3e-8.
    """
    counts = _Counts(rows.select(words).collect_schema(), weighted=weighted)
    hashed = reduce(pl.Expr.xor, (pl.col(word).hash(seed) for seed, word in enumerate(words)))
    query = rows.select(hashed.alias("hash"), "value_s", *words, *(["weight"] if weighted else []))
    # Batches are counted here while the engine's threads prepare the next ones: a sink's callback would hold one of them up.
    batches = query.collect_batches(maintain_order=False, engine="streaming")
    for part in (part for batch in batches for part in batch.iter_slices(_BATCH_ROWS)):
        counts.add(part)
        if counts.too_many:
            return None
    return counts.counted()


def _buckets(value_s: NDArray[np.float64]) -> Ints:
    """The bucket of each value, `_UNSEEN` where there is none."""
    unseen = np.isnan(value_s)
    if not unseen.any():
        return histogram.index_of(value_s)
    return np.where(unseen, _UNSEEN, histogram.index_of(np.where(unseen, 1.0, value_s)))


class _Groups:
    """Numbers the hashes it is shown from 0, asked for many at once."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.first_rows: list[pl.DataFrame] = []
        self.hashes: Hashes = np.zeros(0, np.uint64)
        self._order: Ints = np.zeros(0, np.int64)
        # A number for each place that hashes may share: nearly all are found here, the others by bisection.
        self._table = np.zeros(1 << _TABLE_BITS, np.int32)

    def of(self, batch: pl.DataFrame) -> Ints:
        """The number of the hash of each row; the words of a hash seen for the first time are kept."""
        hashes = batch["hash"].to_numpy()
        if not len(self.hashes):
            return self._search(hashes, np.arange(len(hashes)), batch)
        number: Ints = self._table[_place(hashes)].astype(np.int64)
        missed = np.flatnonzero(self.hashes[number] != hashes)
        if len(missed):
            number[missed] = self._search(hashes[missed], missed, batch)
        return number

    def _search(self, hashes: Hashes, rows: Ints, batch: pl.DataFrame) -> Ints:
        number = self._bisect(hashes)
        new = np.flatnonzero(number < 0)
        if len(new):
            found, first = np.unique(hashes[new], return_index=True)
            self.first_rows.append(batch.select(self.words)[rows[new[first]]])
            self._table[_place(found)] = np.arange(len(found)) + len(self.hashes)
            self.hashes = np.concatenate([self.hashes, found])
            self._order = np.argsort(self.hashes)
            number[new] = self._bisect(hashes[new])
        return number

    def _bisect(self, hashes: Hashes) -> Ints:
        """The number of each hash, or -1."""
        if not len(self.hashes):
            return np.full(len(hashes), -1)
        at = np.searchsorted(self.hashes, hashes, sorter=self._order)
        number = self._order[np.minimum(at, len(self._order) - 1)]
        return np.where(self.hashes[number] == hashes, number, -1)


def _place(hashes: Hashes) -> Ints:
    return (hashes >> np.uint64(64 - _TABLE_BITS)).astype(np.int64)


class _Counts:
    """Counts by group and bucket; sums of weights and of their squares beside them where calls have any.

    A row is a group. Its first column counts what was not seen, the others the buckets from `_low` to before `_high`.
    """

    def __init__(self, types: pl.Schema, *, weighted: bool) -> None:
        self.groups = _Groups(types.names())
        self.too_many = False
        self._types = types
        self._rows = self._filled = 0
        self._low, self._high = 0, 0
        self._sums: list[NDArray[Any]] = [np.zeros((0, 1), np.uint32), *(np.zeros((0, 1)) for _ in range(2 * weighted))]

    def add(self, part: pl.DataFrame) -> None:
        """Count some rows; where there are too many, `too_many` says so and the counts are of no use."""
        cell, index = self.groups.of(part), _buckets(part["value_s"].to_numpy())
        self._make_room(index)
        self._rows += part.height
        self.too_many = self.too_many or self._rows > MAX_ROWS
        if self.too_many:
            return
        cell *= self._sums[0].shape[1]
        cell += np.maximum(index - (self._low - 1), 0)
        # numpy adds fast where it need not convert.
        np.add.at(self._sums[0].reshape(-1), cell, np.uint32(1))
        if len(self._sums) > 1:
            weight = part["weight"].to_numpy()
            np.add.at(self._sums[1].reshape(-1), cell, weight)
            np.add.at(self._sums[2].reshape(-1), cell, weight**2)
        self._filled = len(self.groups.hashes)

    def _make_room(self, index: Ints) -> None:
        """A row for each group and a column for each bucket."""
        rows, columns = self._sums[0].shape
        groups = len(self.groups.hashes)
        low, high = self._range(index)
        if groups <= rows and self._low <= low and high <= self._high:
            return
        if columns > 1:
            low, high = min(low, self._low), max(high, self._high)
        self.too_many = self.too_many or groups * (high - low + 1) > MAX_CELLS
        if not self.too_many:
            # With room to spare, since what was counted is copied. Memory that nothing is counted in is never taken.
            self._grow(max(rows, 4 * groups, _MIN_ROWS), low - _SPARE * (low < self._low), high + _SPARE * (high > self._high))

    def _range(self, index: Ints) -> tuple[int, int]:
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
        words = pl.concat([pl.DataFrame(schema=self._types), *self.groups.first_rows])
        columns = self._sums[0].shape[1]
        counts, *sums = (column[: words.height].reshape(-1) for column in self._sums)
        cell = np.flatnonzero(counts)
        group = cell // columns
        column = cell - group * columns
        index = pl.when(pl.col("column") > 0).then(pl.col("column") + (self._low - 1)).cast(histogram.INDEX_TYPE)
        cells = pl.DataFrame({"group": group.astype(np.uint32), "column": column, "count": counts[cell].astype(np.uint64)})
        weights = zip(("weight", "weight_sq"), sums or [counts, counts], strict=True)
        added = [pl.Series(name, sum_[cell], dtype=pl.Float64) for name, sum_ in weights]
        return Counted(words, cells.select("group", index.alias("index"), "count", *added))
