"""Request bodies within limits: how many bytes are read, how many they may open to, how many may be held at one time."""

import io
import zlib
from collections.abc import AsyncIterator
from typing import Final

import pyarrow as pa

from meshslo.telemetry.errors import BadInputError

_DRAIN_BYTES: Final = 64 * 2**20
_ZLIB_WINDOWS: Final = {"gzip": 31, "deflate": 15}
"""What zlib calls a gzip file and its own format, which HTTP calls deflate."""


class TooLargeError(BadInputError):
    """A body above the limit, as sent or once decompressed."""


class UnknownEncodingError(BadInputError):
    """A compression that is not read here."""


class BufferFullError(BadInputError):
    """Other requests hold all the memory there is for bodies; the same again later may pass."""


class Budget:
    """Bytes that all bodies together may hold."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.held_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Count `size_bytes` as held; BufferFullError where that is more than there is."""
        if self.held_bytes + size_bytes > self._limit_bytes:
            raise BufferFullError(f"{self.held_bytes} bytes of other requests are being received; send again later")
        self.held_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Count `size_bytes` as free again."""
        self.held_bytes -= size_bytes


async def read_body(chunks: AsyncIterator[bytes], limit_bytes: int, budget: Budget) -> bytes:
    """The whole body; TooLargeError above `limit_bytes`, after the rest was let pass so that the sender hears the answer."""
    held: list[bytes] = []
    size_bytes = 0
    try:
        async for chunk in chunks:
            if size_bytes + len(chunk) > limit_bytes:
                await _drain(chunks)
                raise TooLargeError(f"the body is larger than {limit_bytes} bytes; send smaller batches")
            budget.take(len(chunk))
            held.append(chunk)
            size_bytes += len(chunk)
        return b"".join(held)
    finally:
        budget.give_back(size_bytes)


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Let a bounded rest of the body go by: a connection closed in mid-send often loses the answer."""
    passed_bytes = 0
    async for chunk in chunks:
        passed_bytes += len(chunk)
        if passed_bytes > _DRAIN_BYTES:
            return


def decompress(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """The body that `encoding` (a Content-Encoding) hides, never opening more than `limit_bytes` of it.

    Raises TooLargeError, UnknownEncodingError, or BadInputError where the bytes are not of that encoding.
    """
    if encoding in ("", "identity"):
        return body
    name = encoding.removeprefix("x-")
    if name in _ZLIB_WINDOWS:
        opened = _inflate(body, name, limit_bytes)
    elif name == "zstd":
        opened = _unzstd(body, limit_bytes)
    else:
        raise UnknownEncodingError(f"Content-Encoding {encoding!r} is not read here; send gzip, deflate, zstd or none")
    if len(opened) > limit_bytes:
        raise TooLargeError(f"the body opens to more than {limit_bytes} bytes; send smaller batches")
    return opened


def _inflate(body: bytes, name: str, limit_bytes: int) -> bytes:
    """At most `limit_bytes` + 1 bytes of a gzip file or zlib stream of one or more members."""
    opened = io.BytesIO()
    while body:
        member = zlib.decompressobj(_ZLIB_WINDOWS[name])
        try:
            opened.write(member.decompress(body, limit_bytes + 1 - opened.tell()))
        except zlib.error as error:
            raise BadInputError(f"the body is not {name} ({error})") from error
        if opened.tell() > limit_bytes:
            break
        if not member.eof:
            raise BadInputError(f"the {name} body ends too early")
        body = member.unused_data
    return opened.getvalue()


def _unzstd(body: bytes, limit_bytes: int) -> bytes:
    """At most `limit_bytes` + 1 bytes of a zstd frame."""
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), "zstd") as stream:
            return bytes(stream.read(limit_bytes + 1))
    except (OSError, pa.ArrowException) as error:
        raise BadInputError(f"the body is not zstd ({error})") from error
