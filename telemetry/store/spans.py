"""Spans out of segments: whatever was acknowledged, each span once, with the time it arrived."""

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.normalize import SPANS
from meshslo.telemetry.normalize.decode import decode_many

from .wal import Kind, Record, pack, read_segment

ARRIVAL: Final = "arrival_ns"
ARRIVED: Final = pl.Schema({**SPANS, ARRIVAL: pl.Int64()})
"""The span table with the time each span arrived, in ns since the epoch."""

_IDENTITY: Final = ("trace_id", "span_id", "kind")
_CHUNK_BYTES: Final = 16 * 2**20


@dataclass(frozen=True)
class Arrived:
    """The spans of some segments, and for each segment that could not be read in full, why."""

    spans: pl.DataFrame
    damaged: dict[Path, tuple[str, ...]]


def read_arrived(segments: Iterable[Path]) -> Arrived:
    """The spans of `segments`, a repeated one once (the first to arrive); FileNotFoundError where a segment has gone."""
    frames: list[pl.DataFrame] = [pl.DataFrame(schema=ARRIVED)]
    damaged: dict[Path, tuple[str, ...]] = {}
    for path in segments:
        segment = read_segment(path)
        complaints = [f"{part.size_bytes} bytes at {part.offset}: {part.reason}" for part in segment.damage if not part.torn]
        frames.extend(_frames(segment.records, complaints.append))
        if complaints:
            damaged[path] = tuple(complaints)
    spans = pl.concat(frames).sort(ARRIVAL, maintain_order=True)
    return Arrived(spans.unique(_IDENTITY, keep="first", maintain_order=True), damaged)


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
            yield _in_todays_columns(pl.read_ipc_stream(record.payload))
        else:
            complain(f"record of unknown kind {record.kind}")
    for chunk in _chunks(received):
        yield from _decode(chunk, complain)


def _in_todays_columns(spans: pl.DataFrame) -> pl.DataFrame:
    """Spans that were carried over, perhaps by a version that read other attributes, in the columns of this one."""
    return spans.match_to_schema(ARRIVED, missing_columns="insert", extra_columns="ignore")


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
    yield spans.with_columns(pl.lit(arrival_ns, dtype=pl.Int64).alias(ARRIVAL))
