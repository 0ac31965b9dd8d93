"""Keeping the store in shape: small files of an hour become one, and what is older or more than asked for goes.

Both are commits, so that readers see the files before or after, never in between; the old files stay for the grace time.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from pathlib import Path

from meshslo.telemetry.normalize import resolve

from .commits import Change, carry_out, decide, pending
from .hours import hour_of, scan_files, stage, stage_together, without_repeats
from .ingest import IngestSettings
from .layout import Layout
from .locks import write_lock
from .metric_keeping import merge_pushed, retire_pushed
from .segments import fresh_name
from .snapshot import take

_MIB = 2**20
_HOUR = timedelta(hours=1)
_MERGES_A_TURN = 8
"""Then the log has its turn again: who merges holds the write lock."""


@dataclass(frozen=True)
class KeepSettings:
    """How long calls and metrics sent here are kept, how many bytes of calls, and when the files of an hour are merged.

    None keeps everything. Small files, under half of `merge_bytes`, become one whose calls complete each other on the way: once
    there are `merge_files` of them in an hour, and all when the hour has been over for `quiet_s`. All of them are held at once,
    so a step's file under load (30,000 calls, 1.4 MiB) is not small: merging two took more memory than anything else.
    Then larger ones, under half of `large_bytes`, become one end to end, not sooner: under the load that makes many of them
    the log needs the time, and who reads them is held up by what is in them, not by their number.
    """

    max_age_s: float | None = None
    max_bytes: int | None = None
    merge_files: int = 16
    merge_bytes: int = 2 * _MIB
    large_bytes: int = 256 * _MIB
    quiet_s: float = 300.0


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker is told when it starts."""

    ingest: IngestSettings = field(default_factory=IngestSettings)
    keep: KeepSettings = field(default_factory=KeepSettings)


@dataclass(frozen=True)
class Kept:
    """What housekeeping did: files merged into fewer, files retired by age or size, and the bytes these held."""

    merged_files: int = 0
    into_files: int = 0
    retired_files: int = 0
    retired_bytes: int = 0
    retired_until: str | None = None


def keep(layout: Layout, settings: KeepSettings) -> Kept:
    """Retire what is too old or too much, then merge small files; unlink what was superseded a grace time ago."""
    with write_lock(layout):
        for commit in pending(layout):
            carry_out(layout, commit)
        retired = _retire(layout, settings)
        merged = [_merge(layout, run, settings) for run in islice(_mergeable_now(layout, settings), _MERGES_A_TURN)]
        series = _retire_series(layout, settings)
        merged += filter(None, [merge_pushed(layout)])
    return Kept(
        merged_files=sum(merged),
        into_files=len(merged),
        retired_files=len(retired) + len(series),
        retired_bytes=sum(retired.values()) + sum(series.values()),
        retired_until=max(hour_of(path) + _HOUR for path in retired).isoformat() if retired else None,
    )


def _mergeable_now(layout: Layout, settings: KeepSettings) -> Iterator[list[Path]]:
    return mergeable(take(layout).calls, settings, datetime.now(UTC))


def mergeable(files: tuple[Path, ...], settings: KeepSettings, now: datetime) -> Iterator[list[Path]]:
    """Runs of files of one hour, each to become one file: of at most `merge_bytes`, or at most `large_bytes`."""
    for hour, group in groupby(sorted(files), key=hour_of):
        sizes = {path: path.stat().st_size for path in group}
        is_over = now > hour + _HOUR + timedelta(seconds=settings.quiet_s)
        small, large = (0.0, settings.merge_bytes), (settings.merge_bytes / 2, settings.large_bytes)
        for least_bytes, most_bytes in (small, large) if is_over else (small,):
            alike = [path for path, size_bytes in sizes.items() if least_bytes <= size_bytes < most_bytes / 2]
            if len(alike) >= (2 if is_over else settings.merge_files):
                yield from (run for run in _runs(alike, sizes, most_bytes) if len(run) > 1)


def _runs(files: list[Path], sizes: dict[Path, int], max_bytes: int) -> Iterator[list[Path]]:
    run: list[Path] = []
    for path in files:
        if run and sum(sizes[other] for other in run) + sizes[path] > max_bytes:
            yield run
            run = []
        run.append(path)
    yield run


def _merge(layout: Layout, files: list[Path], settings: KeepSettings) -> int:
    """Make one file of `files`; how many they were."""
    stem = f"{fresh_name()}-merged"
    if sum(path.stat().st_size for path in files) <= settings.merge_bytes:
        # Rows that were written before their trace mates had arrived are completed from them on this occasion.
        calls = without_repeats(resolve(scan_files(files).collect())).sort("start")
        staged = stage(layout, hour_of(files[0]), calls, stem)
    else:
        staged = stage_together(files, stem)
    change = Change(
        publish=((layout.relative(staged.temporary), layout.relative(staged.final)),),
        supersede=tuple(layout.relative(path) for path in files),
    )
    carry_out(layout, decide(layout, change))
    return len(files)


def _retire(layout: Layout, settings: KeepSettings) -> dict[Path, int]:
    """Supersede the files of hours that are too old, then of the oldest hours beyond the size; whole hours only."""
    sizes = {path: path.stat().st_size for path in take(layout).calls}
    gone = {path for path in sizes if _is_too_old(path, settings)}
    total_bytes = sum(size_bytes for path, size_bytes in sizes.items() if path not in gone)
    for _, group in groupby(sorted(set(sizes) - gone, key=lambda path: (hour_of(path), path)), key=hour_of):
        if settings.max_bytes is None or total_bytes <= settings.max_bytes:
            break
        hour = list(group)
        gone.update(hour)
        total_bytes -= sum(sizes[path] for path in hour)
    if gone:
        carry_out(layout, decide(layout, Change(supersede=tuple(sorted(layout.relative(path) for path in gone)))))
    return {path: sizes[path] for path in gone}


def _retire_series(layout: Layout, settings: KeepSettings) -> dict[Path, int]:
    if settings.max_age_s is None:
        return {}
    return retire_pushed(layout, datetime.fromtimestamp(time.time() - settings.max_age_s, UTC))


def _is_too_old(path: Path, settings: KeepSettings) -> bool:
    return settings.max_age_s is not None and (hour_of(path) + _HOUR).timestamp() < time.time() - settings.max_age_s
