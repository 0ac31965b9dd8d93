"""Opens what the user named: files, globs, `-` for standard input; .gz and .zst are recognised by their first bytes."""

import glob
import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa

from meshslo.telemetry.errors import BadInputError

STDIN: Final = "-"
HEAD_BYTES: Final = 2**16
BLOCK_BYTES: Final = 3 * 2**23
"""Every block costs some tens of milliseconds whatever its size; from 32 MiB on the system clears its memory anew each time."""
LONGEST_LINE_BYTES: Final = 2**28
"""A line longer than this is no line of a log: 256 MiB."""

_MAGIC: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True)
class Input:
    """One file to read, or standard input."""

    name: str
    path: Path | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes on disk; 0 for standard input, which does not tell."""
        return self.path.stat().st_size if self.path else 0


def expand(names: Iterable[str]) -> list[Input]:
    """The inputs that names, globs and `-` mean, each once, in order. BadInputError names what is not there."""
    found: dict[str, Input] = {}
    for name in names:
        for each in _named(name):
            found.setdefault(each.name, each)
    return list(found.values())


def _named(name: str) -> list[Input]:
    if name == STDIN:
        return [Input("standard input")]
    path = Path(name)
    if path.is_dir():
        raise BadInputError(f"{name} is a directory; name its files, such as '{name}/*.jsonl'")
    if path.exists():
        return [Input(name, path)]
    matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207  # absolute patterns too
    if not matches:
        raise BadInputError(f"no file {name}")
    return [Input(str(match), match) for match in matches if match.is_file()]


@contextmanager
def opened(source: Input, stdin: BinaryIO | None = None) -> "Iterator[Stream]":
    """The decompressed bytes of an input; BadInputError where it cannot be opened."""
    try:
        raw = source.path.open("rb") if source.path else (stdin or sys.stdin.buffer)
    except OSError as error:
        raise BadInputError(f"{source.name} cannot be read: {error.strerror}") from error
    try:
        yield Stream(raw, source)
    finally:
        if source.path:
            raw.close()


class Stream:
    """Decompressed bytes with a look ahead."""

    def __init__(self, raw: BinaryIO, source: Input) -> None:
        self.source = source
        self._raw = _Counted(raw)
        first = self._raw.peek(4)
        self.compression = next((kind for magic, kind in _MAGIC.items() if first.startswith(magic)), None)
        self._data = (
            pa.CompressedInputStream(pa.PythonFile(self._raw, mode="r"), self.compression) if self.compression else self._raw
        )
        self._ahead = b""

    @property
    def position_bytes(self) -> int:
        """Bytes of the input (as it is stored) read so far."""
        return self._raw.position_bytes

    def head(self, size_bytes: int = HEAD_BYTES) -> bytes:
        """The first bytes, without taking them."""
        while len(self._ahead) < size_bytes and (more := self._pull(size_bytes - len(self._ahead))):
            self._ahead += more
        return self._ahead[:size_bytes]

    def read(self, size_bytes: int = -1) -> bytes:
        """The next bytes, fewer only at the end; all that is left where no size is given."""
        parts, wanted = [], size_bytes if size_bytes >= 0 else sys.maxsize
        while wanted > 0 and (part := self._some(min(wanted, BLOCK_BYTES))):
            parts.append(part)
            wanted -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def blocks(self, size_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
        """Runs of whole lines of about `size_bytes`."""
        rest = b""
        while part := self.read(size_bytes):
            if len(part) < size_bytes:  # the end: a last line without its newline goes along
                yield rest + part
                return
            # One copy of a block and no more: each takes a tenth of the time of reading what is in it.
            if end := part.rfind(b"\n") + 1:
                whole, rest = b"".join((rest, memoryview(part)[:end])), part[end:]
                yield whole
                continue
            rest += part
            if len(rest) > LONGEST_LINE_BYTES:
                raise BadInputError(f"{self.source.name}: a line longer than {LONGEST_LINE_BYTES} bytes; is it a log at all?")
        if rest:
            yield rest

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """(line number from 1, line) of every line that is not blank."""
        number = 0
        for block in self.blocks():
            for line in block.split(b"\n")[: -1 if block.endswith(b"\n") else None]:
                number += 1
                if line.strip():
                    yield number, line

    def seekable(self) -> BinaryIO:
        """The whole input for a reader that jumps about: the file itself, or a copy in memory."""
        if self.source.path and not self.compression:
            return self.source.path.open("rb")
        return io.BytesIO(self.read())

    def _some(self, size_bytes: int) -> bytes:
        if self._ahead:
            taken, self._ahead = self._ahead[:size_bytes], self._ahead[size_bytes:]
            return taken
        return self._pull(size_bytes)

    def _pull(self, size_bytes: int) -> bytes:
        try:
            data = self._data.read(size_bytes)
            return data if isinstance(data, bytes) else bytes(data)
        except (OSError, ValueError) as error:
            raise BadInputError(
                f"{self.source.name}: the {self.compression or 'file'} data breaks off or is damaged: {error}"
            ) from error


class _Counted(io.RawIOBase):
    """Bytes of a file, counted, that can be looked at once before they are read."""

    def __init__(self, raw: BinaryIO) -> None:
        self._file = raw
        self._peeked = b""
        self.position_bytes = 0

    def readable(self) -> bool:
        return True

    def peek(self, size_bytes: int) -> bytes:
        self._peeked = self._file.read(size_bytes)
        return self._peeked

    def read(self, size: int = -1) -> bytes:
        peeked, self._peeked = self._peeked, b""
        data = peeked + self._file.read(size if size < 0 else max(size - len(peeked), 0))
        self.position_bytes += len(data)
        return data
