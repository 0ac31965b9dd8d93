"""Numbers the groups of rows for `counting`: by a hash of their words, or by a code that a table knows the words of."""

from collections.abc import Sequence
from functools import reduce
from typing import Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

_TABLE_BITS: Final = 22


class Grouping(Protocol):
    """What tells the group of each row."""

    complete: bool
    """Whether all groups are known from the start."""

    @property
    def columns(self) -> Sequence[pl.Expr]:
        """What a row must show for that, beside what is counted."""

    def first_cell(self, batch: pl.DataFrame, cells: int) -> Ints:
        """The number of the group of each row of `columns`, times `cells`: a new array."""

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
        groups = table.unique().sort(table.columns)
        numbered = groups.with_row_index("group")
        of_code = table.join(numbered, on=table.columns, how="left", nulls_equal=True, maintain_order="left")["group"]
        self._words = groups
        self._of_code = of_code.to_numpy().astype(np.int64)
        self._first_cell, self._cells = self._of_code, 1

    def first_cell(self, batch: pl.DataFrame, cells: int) -> Ints:
        """The number of the group of each row's code, times `cells`."""
        if cells != self._cells:
            self._first_cell, self._cells = self._of_code * cells, cells
        first_cell: Ints = self._first_cell[batch["code"].to_numpy()]
        return first_cell

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

    def first_cell(self, batch: pl.DataFrame, cells: int) -> Ints:
        """The number of the hash of each row, times `cells`; the words of a hash seen for the first time are kept."""
        hashes = batch["hash"].to_numpy()
        if not len(self._hashes):
            return self._search(hashes, np.arange(len(hashes)), batch) * cells
        number: Ints = self._table[_place(hashes)].astype(np.int64)
        missed = np.flatnonzero(self._hashes[number] != hashes)
        if len(missed):
            number[missed] = self._search(hashes[missed], missed, batch)
        number *= cells
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
