"""Counts rows by group and histogram bucket: the one group-by everything rests on, at tens of millions of rows a second.

A general group-by keeps every (group, bucket) in a hash table, millions of entries that no cache holds. Here a row's group is
looked up in a small table by the hash of its words, and its bucket is a place in that group's pages of 64 buckets each; only
pages that calls fall into exist. Adding up is then one pass over dense integers.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from . import histogram

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

# Indices at scale 6 lie in [-1921, 1919]: shifted they take 12 bits, and 0 is free for "not seen".
_SHIFT: Final = 2048
_PAGE_BITS: Final = 6
_PAGES: Final = 4096 >> _PAGE_BITS
_CACHE_BITS: Final = 20
_CACHE_SHIFT: Final = np.uint64(64 - _CACHE_BITS)
_BATCH_ROWS: Final = 200_000
_PENDING_ROWS: Final = 4_000_000
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
    hashed = pl.col(words[0]).hash(0)
    for seed, word in enumerate(words[1:], 1):
        hashed = hashed.xor(pl.col(word).hash(seed))
    slot = (pl.col("index").cast(pl.Int32) + _SHIFT).fill_null(0).alias("slot")
    query = rows.select(hashed.alias("hash"), slot, *words, *(["weight"] if weighted else []))
    counts = _Counts(list(words), weighted=weighted)
    for batch in query.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=False, engine="streaming"):
        if not counts.add(batch):
            return None
    return counts.counted(rows.select(words).collect_schema())


class _Groups:
    """Numbers the hashes it is shown from 0. A direct-mapped table answers most; what misses it is searched for."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.first_rows: list[pl.DataFrame] = []
        self.known: Hashes = np.empty(0, np.uint64)
        self._sorted: Hashes = np.empty(0, np.uint64)
        self._order: Ints = np.empty(0, np.int64)
        self._table = np.zeros(1 << _CACHE_BITS, np.int32)

    def of(self, hashes: Hashes, batch: pl.DataFrame) -> Ints:
        """The number of each hash; `batch` holds the words of each, for groups seen for the first time."""
        if not len(self.known):
            self._learn(hashes, np.arange(len(hashes)), batch)
        number = self._table[hashes >> _CACHE_SHIFT].astype(np.int64)
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
        """Number the new groups among `hashes`, of which none is known; `rows` are their rows in `batch`."""
        new, first = np.unique(hashes, return_index=True)
        self.first_rows.append(batch.select(self.words)[rows[first]])
        self.known = np.concatenate([self.known, new])
        self._order = np.argsort(self.known)
        self._sorted = self.known[self._order]
        self._table[new >> _CACHE_SHIFT] = np.arange(len(self.known) - len(new), len(self.known), dtype=np.int32)


class _Counts:
    """Counts by group and slot in pages; weights beside them where calls have any."""

    def __init__(self, words: list[str], *, weighted: bool) -> None:
        self.groups = _Groups(words)
        self.weighted = weighted
        self._page_of = np.full(0, -1, np.int32)
        self._owner: Ints = np.empty(0, np.int64)
        self._sums: list[NDArray[np.float64] | Ints] = []
        self._keys: list[Ints] = []
        self._weights: list[NDArray[np.float64]] = []
        self._pending = 0

    def add(self, batch: pl.DataFrame) -> bool:
        """Count a batch; False once there are too many pages."""
        slot = batch["slot"].to_numpy()
        group = self.groups.of(batch["hash"].to_numpy(), batch)
        page = self._pages(group * _PAGES + (slot >> _PAGE_BITS))
        self._keys.append((page << _PAGE_BITS) + (slot & ((1 << _PAGE_BITS) - 1)))
        if self.weighted:
            self._weights.append(batch["weight"].to_numpy())
        self._pending += len(slot)
        if self._pending >= _PENDING_ROWS:
            self._flush()
        return len(self._owner) <= MAX_PAGES

    def _pages(self, place: Ints) -> Ints:
        short = len(self.groups.known) * _PAGES - len(self._page_of)
        if short > 0:
            self._page_of = np.concatenate([self._page_of, np.full(short, -1, np.int32)])
        page = self._page_of[place].astype(np.int64)
        missing = page < 0
        if missing.any():
            new = np.unique(place[missing])
            self._page_of[new] = np.arange(len(self._owner), len(self._owner) + len(new), dtype=np.int32)
            self._owner = np.concatenate([self._owner, new])
            page = self._page_of[place].astype(np.int64)
        return page

    def _flush(self) -> None:
        keys = np.concatenate(self._keys) if self._keys else np.empty(0, np.int64)
        cells = len(self._owner) << _PAGE_BITS
        added: list[NDArray[np.float64] | Ints] = [np.bincount(keys, minlength=cells)]
        if self.weighted:
            weight = np.concatenate(self._weights) if self._weights else np.empty(0)
            added += [np.bincount(keys, weights=power, minlength=cells) for power in (weight, weight**2)]
        for old, new in zip(self._sums, added, strict=False):
            new[: len(old)] += old
        self._sums, self._keys, self._weights, self._pending = added, [], [], 0

    def counted(self, types: pl.Schema) -> Counted:
        """What was counted; `types` are those of the words."""
        self._flush()
        cell = np.flatnonzero(self._sums[0])
        owner = self._owner[cell >> _PAGE_BITS]
        slot = ((owner % _PAGES) << _PAGE_BITS) + (cell & ((1 << _PAGE_BITS) - 1))
        number = self._sums[0][cell]
        weight, weight_sq = (self._sums[1][cell], self._sums[2][cell]) if self.weighted else (number, number)
        cells = pl.DataFrame(
            {
                "group": pl.Series(owner // _PAGES, dtype=pl.UInt32),
                "index": pl.Series(slot - _SHIFT, dtype=histogram.INDEX_TYPE),
                "count": pl.Series(number, dtype=pl.UInt64),
                "weight": pl.Series(weight, dtype=pl.Float64),
                "weight_sq": pl.Series(weight_sq, dtype=pl.Float64),
            }
        ).with_columns(pl.when(pl.Series(slot != 0)).then("index").alias("index"))
        return Counted(pl.concat([pl.DataFrame(schema=types), *self.groups.first_rows]), cells)
