"""The kinds of calls in a file: the combinations of words that reports tell calls apart by, each with a number.

A call file has a column `kind`, the row in a table of words that lies in the file's footer. To count calls one reads that
number instead of seven columns of words, and looks the words up once a kind instead of once a call. A file without (written
by an older version, or of more kinds than are worth it) is read by its words.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

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
_WEIGHS: Final = (pl.col("weight").fill_null(1.0) != 1.0).alias(WEIGHS)
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
        words = pl.DataFrame(calls.select([*KIND_WORDS, "weight"])).cast({name: FRAME[name] for name in KIND_WORDS})
        shown = words.select(*KIND_WORDS, _WEIGHS)
        new = shown.unique(maintain_order=True).join(self._known, on=self._words, how="anti", nulls_equal=True)
        first = self._known.height
        self._known.extend(new.with_columns(pl.int_range(first, first + new.height, dtype=pl.UInt32, eager=True).alias(KIND)))
        number = shown.join(self._known, on=self._words, how="left", nulls_equal=True, maintain_order="left")[KIND]
        return calls.append_column(FILE.field(KIND), number.to_arrow())

    def footer(self) -> dict[bytes, bytes]:
        """What belongs into the footer of a file of these calls."""
        if self._known.height > MAX_KINDS:
            return {}
        # The values of a footer are text to other readers.
        held = BytesIO()
        self._known.drop(KIND).write_ipc(held, compression="zstd")
        return {_TABLE: base64.b64encode(held.getvalue())}


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
