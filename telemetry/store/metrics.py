"""What metrics have counted, beside the call rows: histograms in their own buckets, and counters, by step of time.

Pulled from a server (a folder for each, by a hash of its address) a file is everything that it said of its window; what a
later pull says of the same time is left out, so nothing counts twice. Of what is sent to a collector see `pushed`. These rows
are no calls and are never added to calls.
"""

import hashlib
import io
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import polars as pl

from meshslo.telemetry.errors import StoreError

from .atomic import write_atomically
from .ingest import Appended
from .layout import Layout, open_layout
from .locks import write_lock
from .metric_files import Window, holds, named, touches, window_of
from .pushed import count_pushed, payloads_in
from .snapshot import Snapshot, take

Measure = Literal[
    "bucket", "sum_s", "calls", "retries", "retry_successes", "retries_refused", "timeouts", "overflows", "ejections"
]
"""What `value` is: calls in (low_s, high_s]; the seconds of all calls; calls by outcome; and events that calls met."""

STEPS: Final = pl.Schema(
    {
        # Who said it: the server and selection pulled, the profile that read it, the metric and its place in the profile
        # (0 is the best for what it measures), the side that measured.
        "source": pl.String(),
        "profile": pl.String(),
        "instrument": pl.String(),
        "preference": pl.UInt8(),
        "reporter": pl.String(),
        # When: counted in (start, start + step_s].
        "start": pl.Datetime("ns", "UTC"),
        "step_s": pl.Float64(),
        # Of which calls; the words of the call row, null where the metric does not tell.
        "caller": pl.String(),
        "callee": pl.String(),
        "hop": pl.String(),
        "namespace": pl.String(),
        "cluster": pl.String(),
        "version": pl.String(),
        "caller_identity": pl.String(),
        "callee_identity": pl.String(),
        "mtls": pl.Boolean(),
        "protocol": pl.String(),
        "route": pl.String(),
        "model": pl.String(),
        "provider": pl.String(),
        "tenant": pl.String(),
        "operation": pl.String(),
        "status_code": pl.Int16(),
        "response_flags": pl.String(),
        "outcome": pl.String(),
        # What: a bucket's edges in seconds (high_s is infinite in the one that has no upper edge), and the number.
        "phase": pl.String(),
        "measure": pl.String(),
        "low_s": pl.Float64(),
        "high_s": pl.Float64(),
        "value": pl.Float64(),
    }
)
"""One number that a server counted in one step of time, as `MetricStore.scan` gives it."""

_TRIES: Final = 50
_PAUSE_S: Final = 0.05

_LISTS: Final = ("start", "value")
SERIES: Final = pl.Schema({name: pl.List(kind) if name in _LISTS else kind for name, kind in STEPS.items()})
"""The same, all steps of a number in one row: `start` and `value` are lists of equal length. As sources give it, and files hold
it: the words of a series are written once."""

REQUIRED: Final = ("source", "profile", "instrument", "preference", "start", "step_s", "hop", "measure", "value")


def conform_series(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with exactly the columns of `SERIES`, in order; missing ones are null.

    Raises ValueError naming columns that are not part of it, or a required column that has nulls.
    """
    unknown = sorted(set(frame.columns) - set(SERIES))
    if unknown:
        raise ValueError(f"not columns of a metric series: {', '.join(unknown)}; allowed are {', '.join(SERIES)}")
    conformed = frame.select(
        pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in SERIES.items()
    )
    empty = [name for name in REQUIRED if conformed[name].null_count()]
    if empty:
        raise ValueError(f"metric series without {', '.join(empty)}: each needs them")
    return conformed


@dataclass(frozen=True)
class MetricStore:
    """The metric series of a store."""

    layout: Layout

    def append(self, series: pl.DataFrame, *, since: datetime, until: datetime) -> Appended:
        """Add what sources said of [since, until), durably; steps of which it spoke before (same profile) are left out.

        `series` are rows of `SERIES`; what is counted are steps. Raises ValueError where they are not.
        """
        rows = conform_series(series)
        added = 0
        with write_lock(self.layout):
            for (profile, source), part in rows.group_by("profile", "source", maintain_order=True):
                folder = self.layout.metrics / _safe(str(profile)) / hashlib.sha256(str(source).encode()).hexdigest()[:16]
                new = _outside(part, [held for held in _windows(folder) if held[0] < until and since < held[1]])
                added += _steps(new)
                if not new.is_empty():
                    _write(folder / named(_seconds(since), _seconds(until)), new)
        return Appended(added, _steps(rows) - added)

    def series(self, since: datetime | None = None, until: datetime | None = None) -> pl.LazyFrame:
        """Every series with its steps that begin in [since, until), rows of `SERIES`; None is an open end.

        What a collector has acknowledged but not yet moved is counted here and now.
        """
        return _series(*self._read(), (since, until))

    def scan(self, since: datetime | None = None, until: datetime | None = None) -> pl.LazyFrame:
        """Every number of a step that begins in [since, until), rows of `STEPS`; None is an open end."""
        return stepwise(self.series(since, until))

    def series_if_any(self, since: datetime | None = None, until: datetime | None = None) -> pl.LazyFrame | None:
        """`series`, or None where the store holds no metrics."""
        files, waiting = self._read()
        return _series(files, waiting, (since, until)) if files or not waiting.is_empty() else None

    def _read(self) -> tuple[tuple[Path, ...], pl.DataFrame]:
        """The files of one moment, and the series that are still in its segments."""
        for _ in range(_TRIES):
            view = take(self.layout, calls=False)
            # A segment that goes meanwhile takes the state of its streams along: look again.
            with suppress(FileNotFoundError):
                payloads = payloads_in(view.segments)
                if not payloads:
                    return view.metrics, pl.DataFrame(schema=SERIES)
                waiting = count_pushed(view.streams, payloads, time.time_ns()).series
                if _names(view) <= _names(take(self.layout, calls=False)):
                    return view.metrics, waiting
            time.sleep(_PAUSE_S)
        raise StoreError(f"{self.layout.root}: segments went while being read, {_TRIES} times over; try again")


def open_metrics(path: str | Path) -> MetricStore:
    """The metric series of the store at `path`; StoreError where there is no store."""
    return MetricStore(open_layout(path))


def _names(view: Snapshot) -> set[str]:
    """Of its segments, whether still being written or not."""
    return {path.stem for path in view.segments}


def _series(files: tuple[Path, ...], waiting: pl.DataFrame, window: tuple[datetime | None, datetime | None]) -> pl.LazyFrame:
    """The series of files and those that wait, with their steps that begin in `window`."""
    touched = [path for path in files if touches(window_of(path), *window)]
    whole = [path for path in touched if holds(window, window_of(path))]
    parts = [as_series(_within(stepwise(waiting.lazy()), *window))]
    if whole:
        parts.append(_scanned(whole))
    cut = [path for path in touched if path not in whole]
    if cut:
        parts.append(as_series(_within(stepwise(_scanned(cut)), *window)))
    return pl.concat(parts)


def stepwise(series: pl.LazyFrame) -> pl.LazyFrame:
    """Rows of `SERIES` as rows of `STEPS`."""
    return series.explode(_LISTS)


def as_series(steps: pl.LazyFrame) -> pl.LazyFrame:
    """Rows of `STEPS` as rows of `SERIES`."""
    words = [name for name in STEPS if name not in _LISTS]
    return steps.group_by(words, maintain_order=True).agg(_LISTS).select(STEPS.names())


def _scanned(files: list[Path]) -> pl.LazyFrame:
    return pl.scan_parquet(files, hive_partitioning=False)


def _within(steps: pl.LazyFrame, since: datetime | None, until: datetime | None) -> pl.LazyFrame:
    if since is not None:
        steps = steps.filter(pl.col("start") >= since)
    return steps if until is None else steps.filter(pl.col("start") < until)


def _write(path: Path, rows: pl.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    rows.write_parquet(buffer, compression="zstd", statistics=True)
    write_atomically(path, buffer.getvalue())


def _steps(series: pl.DataFrame) -> int:
    return int(series["value"].list.len().sum())


def _windows(folder: Path) -> list[Window]:
    return [window_of(path) for path in folder.glob("*.parquet")]


def _outside(series: pl.DataFrame, windows: list[Window]) -> pl.DataFrame:
    """The steps that touch none of `windows`."""
    if not windows:
        return series
    end = pl.col("start") + pl.duration(nanoseconds=(pl.col("step_s") * 1e9).cast(pl.Int64))
    steps = stepwise(series.lazy())
    for since, until in windows:
        steps = steps.filter((end <= since) | (pl.col("start") >= until))
    return as_series(steps).collect()


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
