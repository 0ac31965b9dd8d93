"""Numbers groups of rows by their words: few rows exactly and in order, many by a hash or by a code that a table explains."""

from collections.abc import Sequence
from functools import reduce
from typing import Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

_TABLE_BITS: Final = 22
_MOST_PLACES: Final = 1 << 22
"""Up to so many combinations of words are looked up in a table; of more, the present ones are sorted out."""
_MANY: Final = 100_000
"""More rows than these are looked up by their hash before anything is sorted."""


def numbered(words: pl.DataFrame) -> tuple[Ints, Ints]:
    """The first of each set of equal rows, in the order of a sort by all columns; and which of these each row is equal to.

    Nulls come first. Of many rows equal ones are found by their hash (`ByHash`), and the different ones put in order.
    """
    if words.height <= _MANY:
        return _numbered_exactly(words)
    groups = ByHash(words.schema)
    number = np.concatenate([groups.first_cell(part, 1, 0) for part in words.select(groups.columns).iter_slices(_MANY)])
    first = np.zeros(len(groups), np.int64)
    first[number[::-1]] = np.arange(words.height)[::-1]
    order, place = _numbered_exactly(groups.words())
    return first[order], place[number]


def _numbered_exactly(words: pl.DataFrame) -> tuple[Ints, Ints]:
    """Words are sorted once each, whatever the rows: a row is then a number whose digits they are."""
    code, below = np.zeros(words.height, np.int64), 1
    for column in words.iter_columns():
        digit, size = _digits(column)
        if below * size > max(_MOST_PLACES, words.height):
            there, code = np.unique(code, return_inverse=True)
            below = len(there)
        code = code * size + digit
        below *= size
    if below > _MOST_PLACES:
        _, first, number = np.unique(code, return_index=True, return_inverse=True)
        return first, number
    first_row = np.full(below, -1)
    first_row[code[::-1]] = np.arange(words.height)[::-1]
    there = np.flatnonzero(first_row >= 0)
    place = np.zeros(below, np.int64)
    place[there] = np.arange(len(there))
    return first_row[there], place[code]


def _digits(column: pl.Series) -> tuple[Ints, int]:
    """The place of each value among those that there may be, from 1, null 0; and how many places there are."""
    if column.null_count() == len(column):
        return np.zeros(len(column), np.int64), 1
    if not isinstance(column.dtype, (pl.Enum, pl.Boolean)):
        there = column.drop_nulls().unique().sort()
        if column.dtype != pl.String:
            place = there.search_sorted(column).cast(pl.Int64) + column.is_not_null()
            return place.to_numpy(), len(there) + 1
        column = column.cast(pl.Enum(there))
    size = len(column.dtype.categories) if isinstance(column.dtype, pl.Enum) else 2
    return (column.to_physical().cast(pl.Int64) + 1).fill_null(0).to_numpy(), size + 1


class Grouping(Protocol):
    """What tells the group of each row."""

    complete: bool
    """Whether all groups are known from the start."""

    @property
    def columns(self) -> Sequence[pl.Expr]:
        """What a row must show for that, beside what is counted."""

    def first_cell(self, batch: pl.DataFrame, cells: int, first: int) -> Ints:
        """The number of the group of each row of `columns`, times `cells`, and `first` more: a new array."""

    def __len__(self) -> int:
        """How many groups there are so far."""

    def words(self) -> pl.DataFrame:
        """The words of each group, in order of the numbers; each row once."""


class ByCode:
    """Groups of codes: of integers in `column`, rows of `table`, whose rows may be equal."""

    complete = True

    def __init__(self, column: pl.Expr, table: pl.DataFrame) -> None:
        self.columns = [column.alias("code")]
        # In order, so that what is counted needs no sort.
        first, self._of_code = numbered(table)
        self._words = table[first]
        self._first_cell, self._at = self._of_code, (1, 0)

    def first_cell(self, batch: pl.DataFrame, cells: int, first: int) -> Ints:
        """The number of the group of each row's code, times `cells`, and `first` more."""
        if self._at != (cells, first):
            self._first_cell, self._at = self._of_code * cells + first, (cells, first)
        # Twice as fast as by brackets.
        return self._first_cell.take(batch["code"].to_numpy())

    def __len__(self) -> int:
        return self._words.height

    def words(self) -> pl.DataFrame:
        """The words of each group, in order of the numbers; some may have no row."""
        return self._words


class ByHash:
    """Groups of equal `words`, told apart by a 64-bit hash: of a million groups two are mixed up with a chance of 3e-8."""

    complete = False

    def __init__(self, types: pl.Schema) -> None:
        self._types = types
        names = types.names()
        hashed = reduce(pl.Expr.xor, (pl.col(word).hash(seed) for seed, word in enumerate(names)))
        self.columns = [hashed.alias("hash"), *(pl.col(name) for name in names)]
        self._first_rows: list[pl.DataFrame] = []
        self._hashes: Hashes = np.zeros(0, np.uint64)
        self._order: Ints = np.zeros(0, np.int64)
        # A number for each place that hashes may share: nearly all are found here, the others by bisection.
        self._table = np.zeros(1 << _TABLE_BITS, np.int32)

    def __len__(self) -> int:
        return len(self._hashes)

    def words(self) -> pl.DataFrame:
        """The words of each group, in order of the numbers."""
        return pl.concat([pl.DataFrame(schema=self._types), *self._first_rows])

    def first_cell(self, batch: pl.DataFrame, cells: int, first: int) -> Ints:
        """The number of the hash of each row, times `cells`, and `first` more; the words of a new hash are kept."""
        number = self._numbers(batch["hash"].to_numpy(), batch)
        number *= cells
        number += first
        return number

    def _numbers(self, hashes: Hashes, batch: pl.DataFrame) -> Ints:
        if not len(self._hashes):
            return self._search(hashes, np.arange(len(hashes)), batch)
        number: Ints = self._table[_place(hashes)].astype(np.int64)
        missed = np.flatnonzero(self._hashes[number] != hashes)
        if len(missed):
            number[missed] = self._search(hashes[missed], missed, batch)
        return number

    def _search(self, hashes: Hashes, rows: Ints, batch: pl.DataFrame) -> Ints:
        number = self._bisect(hashes)
        new = np.flatnonzero(number < 0)
        if len(new):
            found, first = np.unique(hashes[new], return_index=True)
            self._first_rows.append(batch.select(self._types.names())[rows[new[first]]])
            self._table[_place(found)] = np.arange(len(found)) + len(self._hashes)
            self._hashes = np.concatenate([self._hashes, found])
            self._order = np.argsort(self._hashes)
            number[new] = self._bisect(hashes[new])
        return number

    def _bisect(self, hashes: Hashes) -> Ints:
        """The number of each hash, or -1."""
        if not len(self._hashes):
            return np.full(len(hashes), -1)
        at = np.searchsorted(self._hashes, hashes, sorter=self._order)
        number = self._order[np.minimum(at, len(self._order) - 1)]
        return np.where(self._hashes[number] == hashes, number, -1)


def _place(hashes: Hashes) -> Ints:
    return (hashes >> np.uint64(64 - _TABLE_BITS)).astype(np.int64)
