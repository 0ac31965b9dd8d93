"""Keeping the metric store in shape: the small files of pushed metrics become one, and what is too old goes."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from .commits import Change, carry_out, decide
from .layout import Layout
from .metric_files import window_of
from .metrics import as_series, stepwise
from .pushed import folder, stage_series
from .segments import fresh_name
from .snapshot import take

MERGE_FILES: Final = 16
MERGE_BYTES: Final = 4 * 2**20
"""So many pushed files, each below half of that size, become one: it names each series once for all its steps."""


def merge_pushed(layout: Layout) -> int:
    """Make one file of the small ones, once there are enough; how many they were. The caller holds the write lock."""
    small = sorted((path for path in _pushed(layout) if path.stat().st_size < MERGE_BYTES / 2), key=window_of)
    if len(small) < MERGE_FILES:
        return 0
    run = _within(small, MERGE_BYTES)
    series = as_series(stepwise(pl.scan_parquet(run, hive_partitioning=False)).sort("start")).collect()
    temporary, final = stage_series(layout, series, fresh_name())
    published = ((layout.relative(temporary), layout.relative(final)),)
    carry_out(layout, decide(layout, Change(published, supersede=tuple(layout.relative(path) for path in run))))
    return len(run)


def retire_pushed(layout: Layout, before: datetime) -> dict[Path, int]:
    """Supersede the pushed files whose steps all began before a time; their sizes. The caller holds the write lock."""
    gone = {path: path.stat().st_size for path in _pushed(layout) if window_of(path)[1] < before}
    if gone:
        carry_out(layout, decide(layout, Change(supersede=tuple(layout.relative(path) for path in gone))))
    return gone


def _pushed(layout: Layout) -> list[Path]:
    # What was pulled stays: it may be pulled again, under the same name.
    return [path for path in take(layout).metrics if path.parent == folder(layout)]


def _within(files: Sequence[Path], max_bytes: int) -> list[Path]:
    """The first of `files` that together stay within `max_bytes`; two of them do."""
    run: list[Path] = []
    for path in files:
        run.append(path)
        if sum(other.stat().st_size for other in run) >= max_bytes:
            break
    return run
