"""Write-ahead records: how a segment is written and how much of it can be read after a crash or with bad sectors.

A segment is a row of records; a record is a header and a payload:

    magic "mSL1" | kind u8 | 3 zero bytes | payload size u32 | arrival u64 ns | payload CRC-32 | header CRC-32

The header has a checksum of its own: where only a payload is bad, its size is still trusted and the neighbours are found
at once; where the header is bad, the next good header is searched for.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

MAGIC: Final = b"mSL1"
_HEADER: Final = struct.Struct("<4sB3xIQI")
_CRC: Final = struct.Struct("<I")
HEADER_BYTES: Final = _HEADER.size + _CRC.size
MAX_PAYLOAD_BYTES: Final = 2**32 - 1


class Kind(IntEnum):
    """What a record's payload is."""

    OTLP_TRACES = 1
    """A serialized ExportTraceServiceRequest, as it was received."""
    SPANS = 2
    """Decoded spans that still wait for their trace: an Arrow IPC stream."""
    OTLP_LOGS = 3
    """A serialized ExportLogsServiceRequest, as it was received."""
    OTLP_METRICS = 4
    """A serialized ExportMetricsServiceRequest, as it was received."""


@dataclass(frozen=True)
class Record:
    """One payload and when it arrived (ns since the epoch)."""

    kind: int
    arrival_ns: int
    payload: bytes


@dataclass(frozen=True)
class Damage:
    """A stretch of a segment that is no record; `torn` where it is the unfinished last one of a crash in mid-write."""

    offset: int
    size_bytes: int
    reason: str
    torn: bool


@dataclass(frozen=True)
class Segment:
    """What can be read of a segment file."""

    path: Path
    records: tuple[Record, ...]
    damage: tuple[Damage, ...]


def pack(kind: Kind, arrival_ns: int, payload: bytes) -> bytes:
    """The bytes of one record; ValueError for a payload of 4 GiB or more."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a payload of {len(payload)} bytes does not fit a record; the limit is {MAX_PAYLOAD_BYTES}")
    header = _HEADER.pack(MAGIC, kind, len(payload), arrival_ns, zlib.crc32(payload))
    return b"".join((header, _CRC.pack(zlib.crc32(header)), payload))


def read_segment(path: Path) -> Segment:
    """Everything readable in the segment at `path`, and what is not; FileNotFoundError where it has gone."""
    found = list(scan_records(path.read_bytes()))
    return Segment(
        path,
        tuple(item for item in found if isinstance(item, Record)),
        tuple(item for item in found if isinstance(item, Damage)),
    )


def scan_records(data: bytes) -> Iterator[Record | Damage]:
    """The records in `data` in order, with the stretches between them that are none."""
    view = memoryview(data)
    offset = 0
    while offset < len(data):
        header = _header_at(view, offset)
        if header is None:
            end = _next_header(data, offset + 1)
            yield Damage(offset, end - offset, "no record header", torn=_is_unfinished(view[offset:]))
            offset = end
            continue
        kind, size_bytes, arrival_ns, checksum = header
        end = offset + HEADER_BYTES + size_bytes
        payload = bytes(view[offset + HEADER_BYTES : end])
        if len(payload) == size_bytes and zlib.crc32(payload) == checksum:
            yield Record(kind, arrival_ns, payload)
        else:
            # A payload cut short by the end may itself hold later records, where the crash left a hole in the file.
            short = end > len(data)
            end = _next_header(data, offset + 1) if short else end
            yield Damage(offset, end - offset, "payload does not match its checksum", torn=short and end == len(data))
        offset = end


def _header_at(view: memoryview, offset: int) -> tuple[int, int, int, int] | None:
    """Kind, size, arrival and payload checksum of the record at `offset`; None where no intact header is there."""
    end = offset + _HEADER.size
    if end + _CRC.size > len(view) or bytes(view[offset : offset + len(MAGIC)]) != MAGIC:
        return None
    if _CRC.unpack_from(view, end)[0] != zlib.crc32(view[offset:end]):
        return None
    _, kind, size_bytes, arrival_ns, checksum = _HEADER.unpack_from(view, offset)
    return kind, size_bytes, arrival_ns, checksum


def _next_header(data: bytes, start: int) -> int:
    """Offset of the next intact header at or after `start`, or the end of the data."""
    view = memoryview(data)
    while (found := data.find(MAGIC, start)) >= 0:
        if _header_at(view, found) is not None:
            return found
        start = found + 1
    return len(data)


def _is_unfinished(tail: memoryview) -> bool:
    """Whether the rest of a file looks like a header cut short, or like space that was never written."""
    return len(tail) < HEADER_BYTES or not any(tail)
