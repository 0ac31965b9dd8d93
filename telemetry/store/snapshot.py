"""What a reader sees: the call files and segments of one moment, though a collector changes them all the time."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from meshslo.telemetry.errors import StoreError

from .commits import Commit, pending
from .layout import Layout
from .segments import all_segments

_TRIES: Final = 100
_PAUSE_S: Final = 0.02
_PUBLISHING_S: Final = 1.0


@dataclass(frozen=True)
class Snapshot:
    """Files that together hold every acknowledged call and count once: Parquet files, and segments still to be decoded.

    `streams` is what was remembered of the streams of metrics when these segments began.
    """

    calls: tuple[Path, ...]
    metrics: tuple[Path, ...]
    segments: tuple[Path, ...]
    streams: Path


def take(layout: Layout, *, calls: bool = True) -> Snapshot:
    """The store's files now, without `calls` those of metrics alone; StoreError where they change too fast to be listed.

    Files are listed twice and must be the same. A change that is just being carried out is waited for; if nobody does, its
    collector has died and the files are read under their temporary names.
    """
    patience_s = time.monotonic() + _PUBLISHING_S
    for _ in range(_TRIES):
        # An hour's folder that was emptied and removed while being listed is a change like any other: list again.
        with suppress(FileNotFoundError):
            before = _listing(layout, calls)
            is_settled = not _is_publishing(layout, before.commits) or time.monotonic() > patience_s
            if is_settled and before == _listing(layout, calls):
                found = _resolve(layout, before)
                return found if calls else replace(found, calls=())
        time.sleep(_PAUSE_S)
    raise StoreError(f"{layout.root}: the store's files changed while being listed, {_TRIES} times over; try again")


class _Listing(NamedTuple):
    commits: tuple[Commit, ...]
    calls: list[str]
    metrics: list[str]
    segments: tuple[Path, ...]


def _listing(layout: Layout, calls: bool) -> _Listing:
    found = _parquet(layout.calls) if calls else []
    return _Listing(tuple(pending(layout)), found, _parquet(layout.metrics), tuple(all_segments(layout)))


def _parquet(folder: Path) -> list[str]:
    """The Parquet files two folders down; Path.glob takes several times as long, and a report on a month lists thousands."""
    if not folder.exists():
        return []
    return sorted(
        file.path
        for outer in os.scandir(folder)
        if outer.is_dir()
        for inner in os.scandir(outer)
        if inner.is_dir()
        for file in os.scandir(inner)
        if file.name.endswith(".parquet")
    )


def _is_publishing(layout: Layout, commits: tuple[Commit, ...]) -> bool:
    return any((layout.root / temporary).exists() for commit in commits for temporary, _ in commit.change.publish)


def _resolve(layout: Layout, listed: _Listing) -> Snapshot:
    """The files as they will be once every decided change is carried out, under the names that they have now."""
    changes = [commit.change for commit in listed.commits]
    gone = {layout.root / name for change in changes for name in (*change.drop, *change.supersede)}
    gone |= {layout.root / temporary for change in changes for temporary, _ in change.publish}
    staged = {
        layout.root / final: layout.root / temporary
        for change in changes
        for temporary, final in change.publish
        if (layout.root / temporary).exists()
    }
    replaced = [(final, now) for final, now in staged.items() if final not in gone]

    def there(folder: Path, files: Iterable[Path]) -> tuple[Path, ...]:
        kept = [path for path in files if not gone or path not in gone]
        return (*kept, *(now for final, now in replaced if folder in final.parents))

    return Snapshot(
        there(layout.calls, map(Path, listed.calls)),
        there(layout.metrics, map(Path, listed.metrics)),
        there(layout.wal, listed.segments),
        staged.get(layout.streams, layout.streams),
    )
