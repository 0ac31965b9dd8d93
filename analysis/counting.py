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
_TABLE_BITS: Final = 22
_BATCH_ROWS: Final = 250_000
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
    """Numbers the hashes it is shown from 0: a hash table with linear probing, asked for many at once."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.number = 0
        self.first_rows: list[pl.DataFrame] = []
        self._known: Hashes = np.zeros(MAX_PAGES + _BATCH_ROWS, np.uint64)
        self._table = np.full(1 << _TABLE_BITS, -1, np.int32)

    def of(self, hashes: Hashes, batch: pl.DataFrame) -> Ints:
        """The number of each hash; `batch` holds the words and slot of each, for pages seen for the first time."""
        place = (hashes >> np.uint64(64 - _TABLE_BITS)).astype(np.int64)
        number: Ints = self._table[place].astype(np.int64)
        missed = np.flatnonzero((self._known[number] != hashes) | (number < 0))
        if len(missed):
            number[missed] = self._search(hashes[missed], place[missed], missed, batch)
        return number

    def _search(self, hashes: Hashes, place: Ints, rows: Ints, batch: pl.DataFrame) -> Ints:
        number = self._probe(hashes, place)
        new = np.flatnonzero(number < 0)
        if len(new):
            found, first = np.unique(hashes[new], return_index=True)
            self.first_rows.append(batch.select(*self.words, "slot")[rows[new[first]]])
            self._insert(found, place[new[first]])
            number[new] = self._probe(hashes[new], place[new])
        return number

    def _probe(self, hashes: Hashes, place: Ints) -> Ints:
        """The number of each hash, or -1: steps on from its place until it is found or a free place is."""
        number = self._table[place].astype(np.int64)
        going = np.flatnonzero((number >= 0) & (self._known[number] != hashes))
        at = place[going]
        while len(going):
            at = (at + 1) & ((1 << _TABLE_BITS) - 1)
            there = self._table[at].astype(np.int64)
            number[going] = there
            on = (there >= 0) & (self._known[there] != hashes[going])
            going, at = going[on], at[on]
        return number

    def _insert(self, hashes: Hashes, place: Ints) -> None:
        """Number `hashes`, each given once and none of them known, and put each in the first free place from its own."""
        numbers = np.arange(self.number, self.number + len(hashes), dtype=np.int32)
        self._known[self.number : self.number + len(hashes)] = hashes
        self.number += len(hashes)
        while len(numbers):
            free = self._table[place] < 0
            self._table[place[free]] = numbers[free]
            # Of several that wanted one place the last has it now; the others go on.
            left = self._table[place] != numbers
            numbers, place = numbers[left], (place[left] + 1) & ((1 << _TABLE_BITS) - 1)


class _Counts:
    """Counts by page and slot; sums of weights and of their squares beside them where calls have any."""

    def __init__(self, words: list[str], *, weighted: bool) -> None:
        self.pages = _Pages(words)
        # Room for all pages that may come: memory that is never written to is never taken.
        cells = (MAX_PAGES + _BATCH_ROWS) << _PAGE_BITS
        self._sums: list[NDArray[Any]] = [np.zeros(cells, np.int64), *(np.zeros(cells) for _ in range(2 * weighted))]

    @property
    def too_many(self) -> bool:
        """Whether there are more pages than pay."""
        return self.pages.number > MAX_PAGES

    def add(self, batch: pl.DataFrame) -> bool:
        """Count a batch; True where the rest need not be counted, since there are too many pages."""
        for part in batch.iter_slices(_BATCH_ROWS):
            if not self.too_many:
                self._add(part)
        return self.too_many

    def _add(self, batch: pl.DataFrame) -> None:
        key = self.pages.of(batch["hash"].to_numpy(), batch)
        key <<= _PAGE_BITS
        key |= batch["slot"].to_numpy() & _IN_PAGE
        np.add.at(self._sums[0], key, 1)
        if len(self._sums) > 1:
            weight = batch["weight"].to_numpy()
            np.add.at(self._sums[1], key, weight)
            np.add.at(self._sums[2], key, weight**2)

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
