"""The segment files of a store's log: their names, their order, and what a crash left of them."""

import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshslo.telemetry.errors import StoreError

from .atomic import sync_folder
from .layout import Layout
from .wal import read_segment

OPEN: Final = ".open"
SEALED: Final = ".seg"


@dataclass(frozen=True)
class TornTail:
    """The unfinished end that start-up cut off a segment; it was never acknowledged."""

    path: Path
    cut_bytes: int


def fresh_name(opened: int | None = None) -> str:
    """A stem that sorts by when it was made, or by `opened` (ns since the epoch), and is never used twice.

    Never twice, since a decided drop may still wait for an old name.
    """
    return f"{time.time_ns() if opened is None else opened:020d}-{uuid.uuid4().hex[:8]}"


def opened_ns(segment: Path) -> int:
    """When a segment was opened, in ns since the epoch: nothing in it arrived before."""
    return int(segment.stem.partition("-")[0])


def sealed(layout: Layout) -> list[Path]:
    """Segments that no one writes to any more, oldest first."""
    return _listed(layout, SEALED)


def all_segments(layout: Layout) -> list[Path]:
    """Sealed and open segments, oldest first; StoreError where this user may not see them."""
    return _listed(layout, SEALED, OPEN)


def _listed(layout: Layout, *suffixes: str) -> list[Path]:
    # Not glob: it takes a folder that may not be read for an empty one.
    try:
        return sorted(path for path in layout.wal.iterdir() if path.suffix in suffixes)
    except PermissionError as error:
        raise StoreError(f"{layout.wal}: {error.strerror}; read the store as the user who collects into it") from error


def recover(layout: Layout) -> list[TornTail]:
    """Seal what a crashed collector left open, cutting off what it had not finished; damage before that stays as it is.

    Only the holder of the collector lock may call it.
    """
    tails = [_seal(path) for path in _listed(layout, OPEN)]
    return [tail for tail in tails if tail.cut_bytes]


def _seal(path: Path) -> TornTail:
    torn = [part for part in read_segment(path).damage if part.torn]
    for part in torn:
        with path.open("r+b") as file:
            file.truncate(part.offset)
            os.fsync(file.fileno())
    if path.stat().st_size:
        path.rename(path.with_suffix(SEALED))
    else:
        path.unlink()
    sync_folder(path.parent)
    return TornTail(path, sum(part.size_bytes for part in torn))
