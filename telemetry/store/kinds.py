"""The kinds of calls in a file: the combinations of words that reports tell calls apart by, each with a number.

A call file has a column `kind`, the row in a table of words that lies in the file's footer. To count calls one reads that
number instead of seven columns of words, and looks the words up once a kind instead of once a call. A file without (written
by an older version, or of more kinds than are worth it) is read by its words.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from meshslo.telemetry.schema import CALLS, FRAME, WORDS

KIND: Final = "kind"
KIND_WORDS: Final = ("vantage", "hop", "route", "model", "tenant", "outcome", "streaming")
WEIGHS: Final = "weighs"
"""Column of a table of kinds beside the words: whether the calls weigh other than 1."""
MAX_KINDS: Final = 100_000
"""A file of more has no table: its footer would cost every reader more than it spares some."""

FILE: Final = CALLS.append(pa.field(KIND, pa.uint32()))
"""The columns of a call file."""

_TABLE: Final = b"meshslo.kinds"
_MAX_TABLE: Final = 1 << 22
"""Up to so many combinations of words are looked up in a table; of more, the present ones are sorted out."""
_ROWS: Final = pl.Schema({name: kind for name, kind in FRAME.items() if name not in {*WORDS, "streaming"}})


class Numbering:
    """Numbers the kinds of the calls it is shown, from 0."""

    def __init__(self) -> None:
        self._words = [*KIND_WORDS, WEIGHS]
        types = {word: FRAME[word] for word in KIND_WORDS} | {WEIGHS: pl.Boolean(), KIND: pl.UInt32()}
        self._known = pl.DataFrame(schema=types)

    def numbered(self, calls: pa.Table) -> pa.Table:
        """`calls` (shaped as `CALLS`) with their kinds: null once there are more than `MAX_KINDS`."""
        if self._known.height > MAX_KINDS:
            return calls.append_column(FILE.field(KIND), pa.nulls(calls.num_rows, pa.uint32()))
        # In Polars: Arrow's functions of Python and NumPy numbers import pandas first, half a second of every short import.
        weighs = (pl.Series(calls["weight"]) != 1.0).fill_null(value=False).to_arrow()
        combined = _Combined([*(calls[word].combine_chunks() for word in KIND_WORDS), weighs])
        number = combined.of_row(self._numbers(combined.words(self._words).cast({word: FRAME[word] for word in KIND_WORDS})))
        return calls.append_column(FILE.field(KIND), pl.Series(number).to_arrow())

    def _numbers(self, kinds: pl.DataFrame) -> NDArray[np.uint32]:
        """The number of each of `kinds`; those not known yet get the next ones."""
        new = kinds.join(self._known, on=self._words, how="anti", nulls_equal=True, maintain_order="left")
        first = self._known.height
        self._known.extend(new.with_columns(pl.int_range(first, first + new.height, dtype=pl.UInt32, eager=True).alias(KIND)))
        return kinds.join(self._known, on=self._words, how="left", nulls_equal=True, maintain_order="left")[KIND].to_numpy()

    def footer(self) -> dict[bytes, bytes]:
        """What belongs into the footer of a file of these calls."""
        if self._known.height > MAX_KINDS:
            return {}
        # The values of a footer are text to other readers.
        held = BytesIO()
        self._known.drop(KIND).write_ipc(held, compression="zstd")
        return {_TABLE: base64.b64encode(held.getvalue())}


class _Combined:
    """Columns of words as one code a row, whose digits are the places of the words in their dictionaries; null is the last."""

    def __init__(self, columns: Sequence[pa.Array]) -> None:
        words = [array if pa.types.is_dictionary(array.type) else array.dictionary_encode() for array in columns]
        self._dictionaries = [pl.Series(array.dictionary).extend_constant(None, 1) for array in words]
        code = np.zeros(len(words[0]), np.int64)
        for array, dictionary in zip(words, self._dictionaries, strict=True):
            code *= len(dictionary)
            code += pl.Series(array.indices).fill_null(len(dictionary) - 1).to_numpy()
        self._codes, self._place = _distinct(code, prod(len(dictionary) for dictionary in self._dictionaries))

    def words(self, names: Sequence[str]) -> pl.DataFrame:
        """Each combination that there is once."""
        code = self._codes
        columns = []
        for name, dictionary in zip(reversed(names), reversed(self._dictionaries), strict=True):
            code, digit = np.divmod(code, len(dictionary))
            columns.append(dictionary.gather(digit).alias(name))
        return pl.DataFrame(columns[::-1])

    def of_row(self, values: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """For each row the one of `values`, which has one for each of `words`, that is of its combination."""
        chosen: NDArray[np.uint32] = values[self._place]
        return chosen


def _distinct(code: NDArray[np.int64], below: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The codes that there are, in order, and the place among them of each row's."""
    if below > _MAX_TABLE:
        return np.unique(code, return_inverse=True)
    there = np.zeros(below, dtype=bool)
    there[code] = True
    place: NDArray[np.int64] = (np.cumsum(there) - 1)[code]
    return np.flatnonzero(there), place


@dataclass(frozen=True)
class Numbered:
    """Calls by their kind.

    rows: `kind` (row of `words`) and the columns of a call that are no words. words: `KIND_WORDS` and `weighs` of each kind;
    kinds of several files may be equal.
    """

    rows: pl.LazyFrame
    words: pl.DataFrame


def scan_numbered(paths: Iterable[Path]) -> tuple[Numbered | None, list[Path]]:
    """The calls of those files that have a table of kinds, if any, and the other files."""
    tables: list[pl.DataFrame] = []
    scans: list[pl.LazyFrame] = []
    others: list[Path] = []
    for path in paths:
        table = _table(path)
        if table is None:
            others.append(path)
            continue
        first = sum(known.height for known in tables)
        scans.append(_rows([path]).with_columns(pl.col(KIND) + pl.lit(first, pl.UInt32)))
        tables.append(table)
    return (Numbered(pl.concat(scans), pl.concat(tables)) if tables else None), others


def _rows(paths: Sequence[Path]) -> pl.LazyFrame:
    schema = pl.Schema({**_ROWS, KIND: pl.UInt32()})
    return pl.scan_parquet(
        list(paths), schema=schema, hive_partitioning=False, missing_columns="insert", extra_columns="ignore"
    )


def _table(path: Path) -> pl.DataFrame | None:
    held = (pq.read_metadata(path).metadata or {}).get(_TABLE)
    return None if held is None else pl.read_ipc(BytesIO(base64.b64decode(held)))
