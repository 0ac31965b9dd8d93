"""Call rows as Parquet files by start hour: writing them so that they can be published, telling which exist already."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from meshslo.telemetry.schema import CALLS, FRAME, to_arrow

from .atomic import TEMPORARY, sync_file, sync_folder
from .kinds import FILE, Numbering
from .layout import Layout

KEY: Final = ("trace_id", "span_id", "vantage")
"""What makes two rows the same call seen from the same place."""

_ROW_GROUP_ROWS: Final = 256 * 1024
_HOUR: Final = timedelta(hours=1)
_MEASURED: Final = (pa.types.is_fixed_size_binary, pa.types.is_timestamp, pa.types.is_floating)
_WRITING: Final = {
    "compression": "zstd",
    "compression_level": 1,
    "store_schema": False,
    # Values that hardly repeat are written as they are: looking each up in a dictionary takes longer than all the rest.
    "use_dictionary": [field.name for field in FILE if not any(kind(field.type) for kind in _MEASURED)],
    # Rows are in order of start: half the bytes, and half the time to read.
    "column_encoding": {"start": "DELTA_BINARY_PACKED"},
    # Of the other columns every row group holds nearly everything; their bounds would spare a reader nothing.
    "write_statistics": ["start"],
}
"""How call files are encoded; Arrow's own schema is left out so that readers see plain strings."""


@dataclass(frozen=True)
class Staged:
    """A Parquet file on the disk under its temporary name."""

    temporary: Path
    final: Path
    rows: int


def folder_of(layout: Layout, hour: datetime) -> Path:
    """Folder of the calls that started in `hour`."""
    return layout.calls / f"date={hour:%Y-%m-%d}" / f"hour={hour:%H}"


def hour_of(path: Path) -> datetime:
    """The hour of a call file's folder."""
    # Twice as fast as by `parent`, and asked several times for each file of a store.
    return _hour(*path.parts[-3:-1])


@cache
def _hour(date: str, hour: str) -> datetime:
    return datetime.fromisoformat(f"{date.removeprefix('date=')}T{hour.removeprefix('hour=')}:00Z").astimezone(UTC)


def touches(path: Path, since: datetime | None, until: datetime | None) -> bool:
    """Whether the file's hour overlaps [since, until)."""
    hour = hour_of(path)
    return (since is None or hour + _HOUR > since) and (until is None or hour < until)


def by_hour(calls: pl.DataFrame) -> list[tuple[datetime, pl.DataFrame]]:
    """`calls` split by their start hour, each part in order of start."""
    if calls.is_empty():
        return []
    moments = calls.get_column("start")
    ordered = calls if moments.is_sorted() else calls[np.argsort(moments.to_physical().to_numpy())]
    hours = ordered.get_column("start").dt.truncate("1h")
    starts = [0, *(hours != hours.shift(1)).arg_true().to_list()]
    stops = [*starts[1:], ordered.height]
    return [(hours[start], ordered.slice(start, stop - start)) for start, stop in zip(starts, stops, strict=True)]


def stage(layout: Layout, hour: datetime, calls: pl.DataFrame, stem: str) -> Staged:
    """Write the calls of one hour durably under a temporary name."""
    folder = folder_of(layout, hour)
    if not folder.exists():
        folder.mkdir(parents=True)
        for made in (folder.parent, layout.calls):
            sync_folder(made)
    return _write(folder, stem, [to_arrow(calls)])


def stage_together(files: Sequence[Path], stem: str) -> Staged:
    """Write the rows of `files` of one hour end to end, a row group at a time, whatever their size."""
    opened = (pq.ParquetFile(path) for path in files)
    groups = (file.read_row_group(number, columns=CALLS.names) for file in opened for number in range(file.num_row_groups))
    return _write(files[0].parent, stem, (group.cast(CALLS) for group in groups))


def _write(folder: Path, stem: str, tables: Iterable[pa.Table]) -> Staged:
    final = folder / f"{stem}.parquet"
    temporary = folder / f".{final.name}{TEMPORARY}"
    rows = write_calls(temporary, tables)
    sync_file(temporary)
    return Staged(temporary, final, rows)


def write_calls(path: Path, tables: Iterable[pa.Table]) -> int:
    """Write a call file of `tables` (shaped as `CALLS`), with the kinds of their calls; how many rows it has."""
    rows = 0
    kinds = Numbering()
    with pq.ParquetWriter(path, FILE, **_WRITING) as writer:
        for table in tables:
            writer.write_table(kinds.numbered(table), row_group_size=_ROW_GROUP_ROWS)
            rows += table.num_rows
        writer.add_key_value_metadata(kinds.footer())
    return rows


def without_repeats(calls: pl.DataFrame) -> pl.DataFrame:
    """`calls` with the first row of each key; rows without an id have no key and all stay."""
    hints = np.sort(span_hints(calls["span_id"]))
    # Sorting numbers is quicker than telling keys apart, and span ids alone hardly ever repeat.
    if not (hints[1:] == hints[:-1]).any() or calls.select(KEY).is_unique().all():
        return calls
    named = _has_id()
    return pl.concat([calls.filter(named).unique(KEY, keep="first", maintain_order=True), calls.filter(~named)])


def span_hints(span_ids: pl.Series) -> npt.NDArray[np.uint64]:
    """Each span id as a number, 0 for null: what differs here differs."""
    return span_ids.bin.reinterpret(dtype=pl.UInt64).fill_null(0).to_numpy()


def _has_id() -> pl.Expr:
    return pl.col("trace_id").is_not_null() & pl.col("span_id").is_not_null()


def scan_files(paths: Iterable[Path]) -> pl.LazyFrame:
    """The rows of call files, as a lazy frame of the canonical schema."""
    listed = list(paths)
    if not listed:
        return pl.LazyFrame(schema=FRAME)
    return pl.scan_parquet(listed, schema=FRAME, hive_partitioning=False, missing_columns="insert", extra_columns="ignore")
