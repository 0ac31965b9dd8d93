"""OTLP traces in files: JSON lines as the Collector's file exporter writes them, one JSON document, or protobuf.

Protobuf is read as the file exporter's frames (a length of four bytes, big-endian, before each message, which may be compressed
by itself), as varint-delimited messages, or as one bare message. Tempo's and Jaeger's OTLP answers are read alike.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec
import polars as pl
import pyarrow as pa

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.normalize import SPANS, Rejection, traces_json_to_protobuf
from meshslo.telemetry.normalize.decode import decode_many
from meshslo.telemetry.normalize.json_spans import JsonSpans

from . import Gives, Reading
from .inputs import BLOCK_BYTES, Stream
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
        if stream.head().lstrip().startswith(b"{"):
            yield from gathered(documents(stream), json_of, reading.tally)
        else:
            yield from _protobuf(stream, reading.tally)


def gathered(texts: Iterable[tuple[int, bytes]], parse: Callable[[bytes], object], tally: Tally) -> Iterator[pl.DataFrame]:
    """The spans of OTLP/JSON documents (line, text; `parse` reads a text) in frames of a useful size."""
    collected = JsonSpans()
    for line, text in texts:
        try:
            taken, rejected = collected.add(parse(text))
        except BadInputError as error:
            tally.refuse(line, str(error))
            continue
        _count(tally, line, taken, rejected)
        if collected.height >= _GATHER_ROWS:
            yield collected.spans()
            collected = JsonSpans()
    if collected.height:
        yield collected.spans()


def _count(tally: Tally, line: int, taken: int, rejected: Iterable[Rejection]) -> None:
    tally.take(taken)
    for rejection in rejected:
        tally.refuse(line, f"a span rejected: {rejection.reason}", rejection.count)


def json_of(text: bytes) -> object:
    """The JSON document in `text`; BadInputError where there is none."""
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"no JSON: {error}") from error


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


def _protobuf(stream: Stream, tally: Tally) -> Iterator[pl.DataFrame]:
    """Messages by number, which stands for the line."""
    waiting: list[tuple[int, bytes]] = []
    size_bytes = 0
    for number, message in enumerate(_messages(stream), 1):
        waiting.append((number, message))
        size_bytes += len(message)
        if size_bytes >= BLOCK_BYTES:
            yield _together(waiting, tally)
            waiting, size_bytes = [], 0
    if waiting:
        yield _together(waiting, tally)


def _together(messages: list[tuple[int, bytes]], tally: Tally) -> pl.DataFrame:
    """The spans of messages, decoded at once where all are sound, else one by one to tell which is not."""
    try:
        decoded = decode_many([_opened(message) for _, message in messages])
        if not decoded.rejected:
            tally.take(decoded.spans.height)
            return decoded.spans
    except BadInputError:
        pass  # the message that is none is named below
    return pl.concat([_alone(number, message, tally) for number, message in messages])


def _alone(number: int, message: bytes, tally: Tally) -> pl.DataFrame:
    try:
        decoded = decode_many([_opened(message)])
    except BadInputError as error:
        tally.refuse(number, f"message {number}: {error}")
        return pl.DataFrame(schema=SPANS)
    _count(tally, number, decoded.spans.height, decoded.rejected)
    return decoded.spans


def _opened(message: bytes) -> bytes:
    """A message as plain protobuf: decompressed, and translated where it is JSON."""
    if message.startswith(_ZSTD):
        try:
            message = pa.CompressedInputStream(pa.BufferReader(message), "zstd").read()
        except OSError as error:
            raise BadInputError(f"its compression is damaged: {error}") from error
    return traces_json_to_protobuf(message) if message.startswith(b"{") else message


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
