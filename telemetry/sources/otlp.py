"""OTLP traces in files: JSON lines as the Collector's file exporter writes them, one JSON document, or protobuf.

Protobuf is read as the file exporter's frames (a length of four bytes, big-endian, before each message, which may be compressed
by itself), as varint-delimited messages, or as one bare message. Tempo's and Jaeger's OTLP answers are read alike.
"""

import io
import json
from collections.abc import Iterator
from typing import Final

import polars as pl
import pyarrow as pa

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.normalize import Decoded, decode_traces, decode_traces_json

from . import Gives, Reading
from .inputs import Stream
from .tally import Tally

_KEYS: Final = (b'"resourceSpans"', b'"resource_spans"')
_MESSAGE: Final = b"\x0a"  # field 1 of ExportTraceServiceRequest, length-delimited
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_LENGTH_BYTES: Final = 4
_GATHER_ROWS: Final = 50_000


class Otlp:
    """Reads OTLP traces."""

    name = "otlp"
    gives: Gives = "spans"

    def sniff(self, head: bytes) -> bool:
        """JSON that speaks of resource spans, or protobuf framed in any of the three ways."""
        text = head.lstrip()
        if text.startswith(b"{"):
            return any(key in head for key in _KEYS)
        return head.startswith(_MESSAGE) or _is_framed(head) or _is_delimited(head)

    def read(self, stream: Stream, reading: Reading) -> Iterator[pl.DataFrame]:
        """Frames of spans."""
        head = stream.head()
        read = _json if head.lstrip().startswith(b"{") else _protobuf
        yield from gathered(read(stream, reading.tally), reading.tally)


def gathered(parts: Iterator[tuple[int, Decoded]], tally: Tally) -> Iterator[pl.DataFrame]:
    """The spans of many small messages in frames of a useful size; (line, Decoded) in, rejected spans to the tally."""
    waiting: list[pl.DataFrame] = []
    for line, decoded in parts:
        tally.take(decoded.spans.height)
        for rejection in decoded.rejected:
            tally.refuse(line, f"a span rejected: {rejection.reason}", rejection.count)
        waiting.append(decoded.spans)
        if sum(frame.height for frame in waiting) >= _GATHER_ROWS:
            yield pl.concat(waiting)
            waiting = []
    if waiting:
        yield pl.concat(waiting)


def documents(stream: Stream) -> Iterator[tuple[int, bytes]]:
    """(line, JSON text) of each line, or of the whole where the first line is no document by itself (it is laid out)."""
    first = stream.head().lstrip().split(b"\n", 1)[0]
    if _is_json(first) or len(first) >= len(stream.head().strip()):
        yield from stream.lines()
    else:
        yield 1, stream.read()


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _json(stream: Stream, tally: Tally) -> Iterator[tuple[int, Decoded]]:
    for line, text in documents(stream):
        try:
            yield line, decode_traces_json(text)
        except BadInputError as error:
            tally.refuse(line, str(error))


def _protobuf(stream: Stream, tally: Tally) -> Iterator[tuple[int, Decoded]]:
    """Messages by number, which stands for the line."""
    for number, message in enumerate(_messages(stream), 1):
        try:
            yield number, _decoded(message)
        except BadInputError as error:
            tally.refuse(number, f"message {number}: {error}")


def _decoded(message: bytes) -> Decoded:
    if message.startswith(_ZSTD):
        try:
            message = pa.CompressedInputStream(pa.BufferReader(message), "zstd").read()
        except OSError as error:
            raise BadInputError(f"its compression is damaged: {error}") from error
    return decode_traces_json(message) if message.startswith(b"{") else decode_traces(message)


def _messages(stream: Stream) -> Iterator[bytes]:
    head = stream.head()
    if _is_framed(head):
        return _framed(stream)
    if not head.startswith(_MESSAGE) and not _is_delimited(head):
        raise BadInputError(f"{stream.source.name} is no OTLP: neither JSON nor protobuf, but {head[:40]!r}")
    whole = stream.read()
    delimited = _delimited(whole)
    return iter([whole] if delimited is None else delimited)


def _is_framed(head: bytes) -> bool:
    """A length below 16 MiB in four bytes, big-endian, then a message."""
    return head[:1] == b"\0" and _payload(head[_LENGTH_BYTES:])


def _is_delimited(head: bytes) -> bool:
    """A varint length, then a message whose first part is not longer than that."""
    reader = io.BytesIO(head)
    size = _varint(reader)
    start = reader.tell()
    inner = _varint(reader) if reader.read(1) == _MESSAGE else None
    return size is not None and inner is not None and reader.tell() - start + inner <= size


def _payload(data: bytes) -> bool:
    return data.startswith((_MESSAGE, b"{", _ZSTD))


def _framed(stream: Stream) -> Iterator[bytes]:
    """Messages after a big-endian length of four bytes each."""
    while prefix := stream.read(_LENGTH_BYTES):
        size = int.from_bytes(prefix, "big")
        message = stream.read(size)
        if len(prefix) < _LENGTH_BYTES or len(message) < size:
            raise BadInputError(f"{stream.source.name}: the last message breaks off ({len(message)} of {size} bytes)")
        yield message


def _delimited(data: bytes) -> list[bytes] | None:
    """Messages after a varint length each; None where the lengths do not add up to the data, which is then one message."""
    messages, reader = [], io.BytesIO(data)
    while reader.tell() < len(data):
        size = _varint(reader)
        message = reader.read(size) if size is not None else b""
        if size is None or len(message) < size or not _payload(message):
            return None
        messages.append(message)
    return messages


def _varint(reader: io.BytesIO) -> int | None:
    value = 0
    for shift in range(0, 35, 7):
        byte = reader.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None


SOURCE = Otlp()
