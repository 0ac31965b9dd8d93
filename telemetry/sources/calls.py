"""Calls files: CSV, JSON Lines or Parquet with the call row's columns. Anybody's per-request log comes in this way.

Any subset of columns with `start` and `duration_s` does; `hop` may stand for caller and callee. An outcome that is not given is
told from status, flags and error type, else it is `ok`; the vantage is `client` unless given.
"""

import csv
import io
from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from meshslo.telemetry.errors import BadInputError

from . import Gives, Reading
from .call_table import CallTable, Lines
from .column_map import nearest_column
from .inputs import Stream
from .json_calls import Targets, json_calls

PARQUET: Final = b"PAR1"
_BATCH_ROWS: Final = 2**18
_DELIMITERS: Final = ",;\t|"
# An OSError where a block begins like compressed data, which it would have to be to be read as text.
_NOT_READ: Final = (pl.exceptions.PolarsError, OSError)
_TIMES: Final = frozenset({"start", "duration_s"})


class Calls:
    """Reads calls files."""

    name = "calls"
    gives: Gives = "calls"

    def sniff(self, head: bytes) -> bool:
        """Parquet, JSON objects that have a `start`, or a first line that reads like a header with one, or with other names."""
        if head.startswith(PARQUET):
            return True
        first = head.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0]
        if first.startswith(b"{"):
            return not any(word in first for word in (b"resourceSpans", b"traceID")) and any(
                f'"{name}"'.encode() in first for name in ("start", "duration_s")
            )
        try:
            names = _header(first)
        except BadInputError:
            return False
        meant = {nearest_column(name) for name in names}
        return len(names) > 1 and (bool(_TIMES & set(names)) or meant >= _TIMES)

    def read(self, stream: Stream, reading: Reading) -> Iterator[pl.DataFrame]:
        """Frames of call rows."""
        table = CallTable(reading.columns, reading.tally)
        head = stream.head()
        if not head.strip():
            return
        if head.startswith(PARQUET):
            yield from _parquet(stream, table)
        elif head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
            yield from json_calls(stream, table)
        else:
            yield from _csv(stream, table)


def _parquet(stream: Stream, table: CallTable) -> Iterator[pl.DataFrame]:
    """Row groups in batches; a row's line is its number in the file."""
    with stream.seekable() as file:
        try:
            parquet = pq.ParquetFile(file)
            targets = table.check(parquet.schema_arrow.names)
            row = 1
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=list(targets)):
                frame = pl.DataFrame(pa.Table.from_batches([batch]))
                yield table.read(frame, targets, np.arange(row, row + frame.height))
                row += frame.height
        except (pa.ArrowException, OSError) as error:
            raise BadInputError(f"{stream.source.name}: no Parquet that can be read: {error}") from error


def _csv(stream: Stream, table: CallTable) -> Iterator[pl.DataFrame]:
    header: bytes | None = None
    line = 1
    for block in _whole_records(stream):
        if header is None:
            header, _, block = block.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
            header += b"\n"
            targets = table.check(_header(header))
            line = 2
        rows = _csv_sound(header, block, line, table, targets)
        if rows is None:
            frame, lines = _csv_block(header, block, line, table)
            rows = table.read(*_written(frame, lines, targets))
        yield rows
        line += block.count(b"\n")


def _csv_sound(header: bytes, block: bytes, first: int, table: CallTable, targets: Targets) -> pl.DataFrame | None:
    """The call rows of a block in which nothing is amiss, read quickly; None of others."""
    text = header.decode("utf-8", "replace").strip("\r\n")
    names = _header(header)
    # Of blank lines at its beginning the reader would say nothing, and the lines after would be counted wrong.
    if len({*names}) < len(names) or block[:1] in (b"", b"\n", b"\r"):
        return None
    try:
        frame = pl.read_csv(block, has_header=False, separator=_delimiter(text), schema=table.types(names, targets))
    except _NOT_READ:
        return None
    if frame.height != _line_count(block):
        return None
    return table.read_sound(*_written(frame, np.arange(first, first + frame.height), targets))


def _written(frame: pl.DataFrame, lines: Lines, targets: Targets) -> tuple[pl.DataFrame, Targets, Lines]:
    """The records that are no blank lines, in the columns that are read, and their lines."""
    start = next((name for name, target in targets.items() if target.column == "start"), None)
    if start is not None and not frame[start].null_count():
        return frame.select(list(targets)), targets, lines
    written = ~pl.Series(frame.select(pl.all_horizontal(pl.all().is_null())).to_series())
    return frame.filter(written).select(list(targets)), targets, lines[written.to_numpy()]


def _header(line: bytes) -> list[str]:
    text = line.decode("utf-8", "replace").strip("\r\n")
    try:
        return [name.strip() for name in next(csv.reader([text], delimiter=_delimiter(text)), [])]
    except csv.Error as error:
        raise BadInputError(f"no CSV header: {text[:80]!r} ({error})") from None


def _delimiter(header: str) -> str:
    """The delimiter that the header has most of."""
    return max(_DELIMITERS, key=header.count)


def _whole_records(stream: Stream) -> Iterator[bytes]:
    """Blocks that end outside of quotes."""
    pending = b""
    for block in stream.blocks():
        pending += block
        if pending.count(b'"') % 2 == 0:
            yield pending
            pending = b""
    if pending:
        yield pending


def _csv_block(header: bytes, block: bytes, first: int, table: CallTable) -> tuple[pl.DataFrame, Lines]:
    """The records of a block and the lines they begin at; records that are none go to the tally."""
    text = header.decode("utf-8", "replace").strip("\r\n")
    delimiter, names = _delimiter(text), _header(header)
    schema = pl.Schema(dict.fromkeys(names, pl.String()))
    if len(schema) < len(names):
        raise BadInputError(f"{table.tally.name}: a column name stands twice in the header {text}")
    if not block.strip():
        return pl.DataFrame(schema=schema), np.empty(0, dtype=np.int64)
    try:
        frame = pl.read_csv(header + block, separator=delimiter, infer_schema=False, new_columns=names)
    except _NOT_READ:
        frame = None
    # Records over several lines, too: a file that grows must not number them otherwise because a record further down is broken.
    if frame is None or frame.height != _line_count(block):
        return _csv_record_by_record(block, delimiter, schema, first, table)
    return frame, np.arange(first, first + frame.height)


def _line_count(block: bytes) -> int:
    return block.count(b"\n") + (not block.endswith(b"\n"))


def _csv_record_by_record(
    block: bytes, delimiter: str, schema: pl.Schema, first: int, table: CallTable
) -> tuple[pl.DataFrame, Lines]:
    """A block in which some record is broken: each by itself."""
    records, lines = [], []
    reader = csv.reader(io.StringIO(block.decode("utf-8", "replace"), newline=""), delimiter=delimiter)
    line = first
    for record in _records(reader):
        begun, line = line, first + reader.line_num
        if isinstance(record, csv.Error):
            table.tally.refuse(begun, f"no CSV record: {record}")
        elif len(record) > len(schema):
            table.tally.refuse(begun, f"{len(record)} fields where the header has {len(schema)}")
        elif any("\ufffd" in value for value in record):
            table.tally.refuse(begun, "not UTF-8")
        elif record:
            records.append([*record, *[None] * (len(schema) - len(record))])
            lines.append(begun)
    return pl.DataFrame(records, schema=schema, orient="row"), np.array(lines, dtype=np.int64)


def _records(reader: "Iterator[list[str]]") -> Iterator[list[str] | csv.Error]:
    """Each record, or what is wrong with it."""
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield error


SOURCE = Calls()
