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
from .adding import CELL_VALUES, Layout, as_index
from .folding import ROWS
from .groups import Grouping, Ints
from .histogram import UNSEEN

MAX_CELLS: Final = 48_000_000
"""Beyond this many cells (of 4 bytes, or 20 with weights), groups times buckets seen in any, `count` gives up."""
MAX_ROWS: Final = 2**32 - 1
"""What a cell can count to: beyond this many rows `count` gives up, too."""

_BUFFER_ROWS: Final = 500_000
_BATCH_ROWS: Final = 125_000
_SPARE: Final = 3 * 2**histogram.SCALE
_MIN_ROWS: Final = 1 << 16
_BLOCK_CELLS: Final = 1 << 18


class Counted(NamedTuple):
    """What was counted, where there is any.

    totals: the words of each group, once for the rows where the value was not seen and once where it was (`seen`); their
    count, weight and weight_sq, and how many rows of cells they have. cells: index, in order, count; and weights, if any.
    """

    totals: pl.DataFrame
    cells: pl.DataFrame


def count(rows: pl.LazyFrame, groups: Grouping, *, weighted: bool) -> Counted | None:
    """Count `rows` by `groups`, and in each group by the bucket of `value_s` (null: not seen).

    Without `weighted` every row weighs 1, else its `weight`. None where there are too many for that.
    """
    counts = _Counts(groups, weighted=weighted)
    query = rows.select(*groups.columns, "value_s", *(["weight"] if weighted else []))
    # Batches are counted here while the engine's threads prepare the next ones: a sink's callback would hold one of them up.
    # Large ones let these run ahead; of parts a processor's cache holds the numbers.
    batches = query.collect_batches(chunk_size=_BUFFER_ROWS, maintain_order=False, engine="streaming")
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
        index = histogram.quick_index_of(part["value_s"].to_numpy())
        low, high = self._range(index)
        self._make_room(low, high)
        # The lowest column takes what was not seen.
        cell = self.groups.first_cell(part, self._sums[0].shape[1], 1 - self._low)
        # Of which there may be new ones.
        self._make_room(low, high)
        self._rows += part.height
        self.too_many = self.too_many or self._rows > MAX_ROWS
        if self.too_many:
            return
        cell += index if self._sees_all(index) else np.maximum(index, self._low - 1)
        # numpy adds fast where it need not convert.
        np.add.at(self._sums[0].reshape(-1), cell, np.uint32(1))
        if len(self._sums) > 1:
            weight = part["weight"].to_numpy()
            np.add.at(self._sums[1].reshape(-1), cell, weight)
            np.add.at(self._sums[2].reshape(-1), cell, weight**2)
        self._filled = len(self.groups)

    def _make_room(self, low: int, high: int) -> None:
        """A row for each group and a column for each bucket from `low` to before `high`."""
        rows, columns = self._sums[0].shape
        groups = len(self.groups)
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

    def _range(self, index: Ints) -> tuple[int, int]:
        seen = index if self._sees_all(index) else index[index > UNSEEN]
        return (int(seen.min()), int(seen.max()) + 1) if len(seen) else (self._low, self._high)

    @staticmethod
    def _sees_all(index: Ints) -> bool:
        return bool(index.min(initial=0) > UNSEEN)

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
        # A few groups at a time, which a processor's cache holds: fresh memory costs more than what is done in it.
        step = max(1, _BLOCK_CELLS // self._sums[0].shape[1])
        blocks = [self._block(at, min(at + step, words.height)) for at in range(0, max(words.height, 1), step)]
        rows, index, *values = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        # The cells of a group: where the value was not seen, if it is there, then the buckets.
        there = np.flatnonzero(rows)
        unseen = np.zeros(len(rows), np.int64)
        unseen[there] = index[(np.cumsum(rows) - rows)[there]] == UNSEEN
        parts = np.stack([unseen, rows - unseen], axis=1).reshape(-1)
        used = np.flatnonzero(parts)
        length = parts[used]
        seen, of_cells = pl.Series("seen", used % 2 == 1), pl.Series(ROWS, length.astype(np.uint32))
        totals = words[used // 2].with_columns(seen, *_totals(values, np.cumsum(length) - length), of_cells)
        named = (pl.Series(name, value) for name, value in zip(CELL_VALUES, values, strict=False))
        return Counted(totals, pl.DataFrame([as_index(index), *named]))

    def _block(self, start: int, stop: int) -> list[NDArray[Any]]:
        """Of the groups from `start` to before `stop`: the number of cells of each that hold any; their indices and values."""
        columns = self._sums[0].shape[1]
        flat = [sums[start:stop].reshape(-1) for sums in self._sums]
        # Of booleans: numpy finds these many times as fast as numbers.
        cell = np.flatnonzero(flat[0] != 0)
        groups = stop - start
        layout = Layout(np.arange(groups + 1) * columns, np.full(groups, self._low))
        counts, *weights = (sums[cell] for sums in flat)
        return [*layout.named(cell), counts.astype(np.uint64), *weights]


def _totals(values: list[NDArray[Any]], first: Ints) -> list[pl.Series]:
    """The sums of `values` from each row of `first` to before the next; the counts for weights, where there are none."""
    sums = [np.add.reduceat(value, first) if len(first) else value for value in values]
    weights = sums[1:] or [sums[0].astype(np.float64)] * 2
    return [pl.Series(name, sum_) for name, sum_ in zip(CELL_VALUES, [sums[0], *weights], strict=True)]
