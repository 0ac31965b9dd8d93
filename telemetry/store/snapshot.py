"""What a reader sees: the call files and segments of one moment, though a collector changes them all the time."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshslo.telemetry.errors import StoreError

from .commits import Commit, pending
from .layout import Layout
from .segments import all_segments

_TRIES: Final = 100
_PAUSE_S: Final = 0.02
_PUBLISHING_S: Final = 1.0


@dataclass(frozen=True)
class Snapshot:
    """Files that together hold every acknowledged call and count once: Parquet files, and segments still to be decoded."""

    calls: tuple[Path, ...]
    metrics: tuple[Path, ...]
    segments: tuple[Path, ...]


def take(layout: Layout) -> Snapshot:
    """The store's files now; StoreError where they change too fast to be listed.

    Files are listed twice and must be the same. A change that is just being carried out is waited for; if nobody does, its
    collector has died and the files are read under their temporary names.
    """
    patience_s = time.monotonic() + _PUBLISHING_S
    for _ in range(_TRIES):
        # An hour's folder that was emptied and removed while being listed is a change like any other: list again.
        with suppress(FileNotFoundError):
            before = _listing(layout)
            if before == _listing(layout) and (not _is_publishing(layout, before[0]) or time.monotonic() > patience_s):
                return _resolve(layout, *before)
        time.sleep(_PAUSE_S)
    raise StoreError(f"{layout.root}: the store's files changed while being listed, {_TRIES} times over; try again")


_Listing = tuple[tuple[Commit, ...], tuple[Path, ...], tuple[Path, ...]]


def _listing(layout: Layout) -> _Listing:
    files = (path for folder in (layout.calls, layout.metrics) for path in sorted(folder.glob("*/*/*.parquet")))
    return tuple(pending(layout)), tuple(files), tuple(all_segments(layout))


def _is_publishing(layout: Layout, commits: tuple[Commit, ...]) -> bool:
    return any((layout.root / temporary).exists() for commit in commits for temporary, _ in commit.change.publish)


def _resolve(layout: Layout, commits: tuple[Commit, ...], parquet: tuple[Path, ...], segments: tuple[Path, ...]) -> Snapshot:
    moved = [temporary for commit in commits for temporary, _ in commit.change.publish]
    dropped = [name for commit in commits for name in (*commit.change.drop, *commit.change.supersede)]
    gone = {layout.root / name for name in (*moved, *dropped)}
    staged = {
        layout.root / final: layout.root / temporary
        for commit in commits
        for temporary, final in commit.change.publish
        if (layout.root / temporary).exists()
    }
    present = [*parquet, *segments]
    files = [path for path in present if path not in gone] + [staged[path] for path in staged if path not in gone]
    calls, metrics, segments = (
        tuple(path for path in files if folder in path.parents) for folder in (layout.calls, layout.metrics, layout.wal)
    )
    return Snapshot(calls, metrics, segments)
