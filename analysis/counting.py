"""Counts rows by group and histogram bucket: the one group-by everything rests on, at tens of millions of rows a second.

A general group-by keeps every (group, bucket) in a hash table, millions of entries that no cache holds. Here 64 neighbouring
buckets of a group are a page, whose number is looked up in a small table by a hash of the group's words and the place of the
page; only pages that calls fall into exist. Adding up is then one pass over dense integers.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from . import histogram

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

# Indices at scale 6 lie in [-1921, 1919]: shifted they take 12 bits, and 0 is free for "not seen".
_SHIFT: Final = 2048
_PAGE_BITS: Final = 6
_IN_PAGE: Final = (1 << _PAGE_BITS) - 1
_CACHE_BITS: Final = 22
_CACHE_SHIFT: Final = np.uint64(64 - _CACHE_BITS)
_BATCH_ROWS: Final = 50_000
MAX_PAGES: Final = 500_000
"""Beyond this many pages (of 512 bytes) the counts are too sparse for pages to pay: `count` gives up."""


class Counted(NamedTuple):
    """words: those of each group. cells: group (row of words), index, count, weight, weight_sq, in order of the first two."""

    words: pl.DataFrame
    cells: pl.DataFrame


def count(rows: pl.LazyFrame, words: Sequence[str], *, weighted: bool) -> Counted | None:
    """Count `rows` by their `words`, and in each group by `index` (null: not seen).

    Without `weighted` every row weighs 1, else its `weight`. None where there are more groups than pages pay for. Groups
    are told apart by a 64-bit hash: of a million groups two are mixed up with a chance of 3e-8.
    """
    slot = (pl.col("index") + _SHIFT).fill_null(0)
    hashed = (slot // 2**_PAGE_BITS).hash(0)
    for seed, word in enumerate(words, 1):
        hashed = hashed.xor(pl.col(word).hash(seed))
    query = rows.select(hashed.alias("hash"), slot.alias("slot"), *words, *(["weight"] if weighted else []))
    counts = _Counts(list(words), weighted=weighted)
    query.sink_batches(counts.add, chunk_size=_BATCH_ROWS, maintain_order=False, engine="streaming")
    return None if counts.too_many else counts.counted(rows.select(words).collect_schema())


class _Pages:
    """Numbers the hashes it is shown from 0. A direct-mapped table answers most; what misses it is searched for."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.first_rows: list[pl.DataFrame] = []
        self.known: Hashes = np.empty(0, np.uint64)
        self._sorted: Hashes = np.empty(0, np.uint64)
        self._order: Ints = np.empty(0, np.int64)
        self._table = np.zeros(1 << _CACHE_BITS, np.int32)

    def of(self, hashes: Hashes, batch: pl.DataFrame) -> Ints:
        """The number of each hash; `batch` holds the words and slot of each, for pages seen for the first time."""
        if not len(self.known):
            self._learn(hashes, np.arange(len(hashes)), batch)
        number: Ints = self._table[hashes >> _CACHE_SHIFT].astype(np.int64)
        missed = np.flatnonzero(self.known[number] != hashes)
        if len(missed):
            number[missed] = self._search(hashes[missed], missed, batch)
        return number

    def _search(self, hashes: Hashes, rows: Ints, batch: pl.DataFrame) -> Ints:
        at = np.minimum(np.searchsorted(self._sorted, hashes), len(self._sorted) - 1)
        new = self._sorted[at] != hashes
        if new.any():
            self._learn(hashes[new], rows[new], batch)
            at = np.searchsorted(self._sorted, hashes)
        number: Ints = self._order[at]
        return number

    def _learn(self, hashes: Hashes, rows: Ints, batch: pl.DataFrame) -> None:
        """Number the new pages among `hashes`, of which none is known; `rows` are their rows in `batch`."""
        new, first = np.unique(hashes, return_index=True)
        self.first_rows.append(batch.select(*self.words, "slot")[rows[first]])
        number = np.arange(len(self.known), len(self.known) + len(new))
        self.known = np.concatenate([self.known, new])
        at = np.searchsorted(self._sorted, new)
        self._sorted, self._order = np.insert(self._sorted, at, new), np.insert(self._order, at, number)
        # What came early is what is common: it keeps its place in the table.
        free = self._table[new >> _CACHE_SHIFT] == 0
        self._table[new[free] >> _CACHE_SHIFT] = number[free]


class _Counts:
    """Counts by page and slot; sums of weights and of their squares beside them where calls have any."""

    def __init__(self, words: list[str], *, weighted: bool) -> None:
        self.pages = _Pages(words)
        self._sums: list[NDArray[Any]] = [np.zeros(0, np.int64), *([np.zeros(0), np.zeros(0)] if weighted else [])]

    @property
    def too_many(self) -> bool:
        """Whether there are more pages than pay."""
        return len(self.pages.known) > MAX_PAGES

    def add(self, batch: pl.DataFrame) -> bool:
        """Count a batch; True where the rest need not be counted, since there are too many pages."""
        key = self.pages.of(batch["hash"].to_numpy(), batch)
        key <<= _PAGE_BITS
        key |= batch["slot"].to_numpy() & _IN_PAGE
        self._grow(len(self.pages.known) << _PAGE_BITS)
        np.add.at(self._sums[0], key, 1)
        if len(self._sums) > 1:
            weight = batch["weight"].to_numpy()
            np.add.at(self._sums[1], key, weight)
            np.add.at(self._sums[2], key, weight**2)
        return self.too_many

    def _grow(self, cells: int) -> None:
        """Room for `cells`, and for half as many again where that takes a copy."""
        if cells > len(self._sums[0]):
            room = [np.zeros(cells // 2 + cells - len(column), column.dtype) for column in self._sums]
            self._sums = [np.concatenate(pair) for pair in zip(self._sums, room, strict=True)]

    def counted(self, types: pl.Schema) -> Counted:
        """What was counted; `types` are those of the words."""
        first = pl.concat([pl.DataFrame(schema={**types, "slot": histogram.INDEX_TYPE}), *self.pages.first_rows])
        words = first.select(self.pages.words).unique(maintain_order=True)
        numbered = words.with_row_index("group")
        on = self.pages.words
        page = first.join(numbered, on=on, how="left", nulls_equal=True, maintain_order="left").select(
            "group", pl.col("slot") & ~_IN_PAGE
        )
        order = page.select(pl.arg_sort_by("group", "slot")).to_series().to_numpy()
        sums = [column[: page.height << _PAGE_BITS].reshape(-1, _IN_PAGE + 1)[order].ravel() for column in self._sums]
        cell = np.flatnonzero(sums[0])
        cells = page[order][cell >> _PAGE_BITS].with_columns(
            pl.col("slot") + pl.Series((cell & _IN_PAGE).astype(np.int16)),
            pl.Series("count", sums[0][cell], dtype=pl.UInt64),
            *(
                pl.Series(name, column[cell], dtype=pl.Float64)
                for name, column in zip(("weight", "weight_sq"), sums[1:] or [sums[0]] * 2, strict=True)
            ),
        )
        index = pl.when(pl.col("slot") != 0).then(pl.col("slot") - _SHIFT).alias("index")
        return Counted(words, cells.select("group", index, "count", "weight", "weight_sq"))
