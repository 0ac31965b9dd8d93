"""Spans out of segments: whatever was acknowledged, each span once, with the time it arrived."""

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.normalize import resolve, to_calls
from meshslo.telemetry.normalize.decode import decode_many
from meshslo.telemetry.normalize.spans import FIXED, once, widen
from meshslo.telemetry.schema import FRAME
from meshslo.telemetry.sources.otlp_logs import calls_of_logs

from .wal import Kind, Record, pack, read_segment

ARRIVAL: Final = "arrival_ns"
"""The column of the time each span arrived, in ns since the epoch."""

_CHUNK_BYTES: Final = 20 * 2**20


@dataclass(frozen=True)
class Arrived:
    """The spans of some segments, the calls that access logs tell of, metrics exports, and of segments not read in full, why.

    `repeated` spans came more than once, and are left out but for the first time.
    The table has only those attribute columns in which something is said, and `ARRIVAL`: most of the columns of `SPANS` are
    empty, and empty ones are the larger part of its memory. `widen` makes it the span table again.
    """

    spans: pl.DataFrame
    logged: pl.DataFrame
    metered: list[bytes]
    repeated: int
    damaged: dict[Path, tuple[str, ...]]


def read_arrived(segments: Iterable[Path]) -> Arrived:
    """The spans of `segments`, a repeated one once (the first to arrive); FileNotFoundError where a segment has gone."""
    frames: list[pl.DataFrame] = [pl.DataFrame(schema={**FIXED, ARRIVAL: pl.Int64})]
    logged: list[pl.DataFrame] = [pl.DataFrame(schema=FRAME)]
    metered: list[bytes] = []
    damaged: dict[Path, tuple[str, ...]] = {}
    for path in segments:
        segment = read_segment(path)
        complaints = [f"{part.size_bytes} bytes at {part.offset}: {part.reason}" for part in segment.damage if not part.torn]
        frames.extend(_frames(segment.records, complaints.append))
        logged.extend(_logged(segment.records, complaints.append))
        metered.extend(record.payload for record in segment.records if record.kind == Kind.OTLP_METRICS)
        if complaints:
            damaged[path] = tuple(complaints)
    received = pl.concat(frames, how="diagonal")
    spans = once(received)
    return Arrived(spans, pl.concat(logged), metered, received.height - spans.height, damaged)


def calls_of(spans: pl.DataFrame, logged: pl.DataFrame) -> pl.DataFrame:
    """The call rows of spans and access logs, completed from each other."""
    calls = to_calls(widen(spans))
    return calls if logged.is_empty() else resolve(pl.concat([calls, logged]))


def _narrow(spans: pl.DataFrame) -> pl.DataFrame:
    """`spans` without the attribute columns in which nothing is said."""
    return spans.select(column for column in spans.get_columns() if column.name in FIXED or column.null_count() < spans.height)


def pack_arrived(spans: pl.DataFrame, now_ns: int) -> bytes:
    """`spans` as one record, for the next step to read."""
    buffer = io.BytesIO()
    spans.write_ipc_stream(buffer, compression="lz4")
    return pack(Kind.SPANS, now_ns, buffer.getvalue())


def _frames(records: Iterable[Record], complain: Callable[[str], None]) -> Iterator[pl.DataFrame]:
    """A frame for every few records; records that are no spans go to `complain`."""
    received: list[Record] = []
    for record in records:
        if record.kind == Kind.OTLP_TRACES:
            received.append(record)
        elif record.kind == Kind.SPANS:
            yield pl.read_ipc_stream(record.payload)
        elif record.kind not in (Kind.OTLP_LOGS, Kind.OTLP_METRICS):
            complain(f"record of unknown kind {record.kind}")
    for chunk in _chunks(received):
        yield from _decode(chunk, complain)


def _logged(records: Iterable[Record], complain: Callable[[str], None]) -> Iterator[pl.DataFrame]:
    """The calls of each record of access logs: one by one, so that a batch sent twice gets the same ids."""
    for record in records:
        if record.kind == Kind.OTLP_LOGS:
            try:
                yield calls_of_logs(record.payload)
            except BadInputError as error:
                complain(f"record of {len(record.payload)} bytes: {error}")


def _chunks(records: list[Record]) -> Iterator[list[Record]]:
    """`records` in runs of a bounded size."""
    chunk: list[Record] = []
    size_bytes = 0
    for record in records:
        if chunk and size_bytes + len(record.payload) > _CHUNK_BYTES:
            yield chunk
            chunk, size_bytes = [], 0
        chunk.append(record)
        size_bytes += len(record.payload)
    if chunk:
        yield chunk


def _decode(records: list[Record], complain: Callable[[str], None]) -> Iterator[pl.DataFrame]:
    """The spans of `records` together; one by one where one of them is no message, so that it does not take others along."""
    try:
        spans = decode_many([record.payload for record in records]).spans
    except BadInputError as error:
        if len(records) == 1:
            complain(f"record of {len(records[0].payload)} bytes: {error}")
            return
        for record in records:
            yield from _decode([record], complain)
        return
    arrival_ns = max(record.arrival_ns for record in records)
    yield _narrow(spans).with_columns(pl.lit(arrival_ns, dtype=pl.Int64).alias(ARRIVAL))
