"""What servers of metrics have counted, beside the call rows: histograms in their own buckets, and counters, by step of time.

    STORE/metrics/PROFILE/SOURCE/SINCE-UNTIL.parquet      seconds since the epoch; SOURCE is a hash of the server's address

A file is everything one source said of its window; what a later pull says of the same time is left out, so nothing counts
twice. These rows are no calls and are never added to calls.
"""

import hashlib
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import polars as pl

from .atomic import write_atomically
from .ingest import Appended
from .layout import Layout, open_layout
from .locks import write_lock

Measure = Literal[
    "bucket", "sum_s", "calls", "retries", "retry_successes", "retries_refused", "timeouts", "overflows", "ejections"
]
"""What `value` is: calls in (low_s, high_s]; the seconds of all calls; calls by outcome; and events that calls met."""

SERIES: Final = pl.Schema(
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
"""One number that a server counted in one step of time."""

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

    @property
    def folder(self) -> Path:
        """Where they lie; absent until something was pulled."""
        return self.layout.root / "metrics"

    def append(self, series: pl.DataFrame, *, since: datetime, until: datetime) -> Appended:
        """Add what sources said of [since, until), durably; steps of which it spoke before (same profile) are left out."""
        rows = conform_series(series)
        added = 0
        with write_lock(self.layout):
            for (profile, source), part in rows.group_by("profile", "source", maintain_order=True):
                folder = self.folder / _safe(str(profile)) / hashlib.sha256(str(source).encode()).hexdigest()[:16]
                new = _outside(part, _windows(folder))
                added += new.height
                if not new.is_empty():
                    _write(folder / f"{_seconds(since)}-{_seconds(until)}.parquet", new)
        return Appended(added, rows.height - added)

    def scan(self, since: datetime | None = None, until: datetime | None = None) -> pl.LazyFrame:
        """Every series row whose step begins in [since, until); None is an open end."""
        files = sorted(self.folder.glob("*/*/*.parquet"))
        if not files:
            return pl.DataFrame(schema=SERIES).lazy()
        rows = pl.scan_parquet(files, hive_partitioning=False).cast(SERIES)
        if since is not None:
            rows = rows.filter(pl.col("start") >= since)
        return rows if until is None else rows.filter(pl.col("start") < until)

    def scan_any(self, since: datetime | None = None, until: datetime | None = None) -> pl.LazyFrame | None:
        """`scan`, or None where nothing was ever pulled."""
        return self.scan(since, until) if self.folder.is_dir() else None


def open_metrics(path: str | Path) -> MetricStore:
    """The metric series of the store at `path`; StoreError where there is no store."""
    return MetricStore(open_layout(path))


def _write(path: Path, rows: pl.DataFrame) -> None:
    """The rows in the order given: sources give runs of equal words, which Parquet stores in next to nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    rows.write_parquet(buffer, compression="zstd", statistics=True)
    write_atomically(path, buffer.getvalue())


def _windows(folder: Path) -> list[tuple[datetime, datetime]]:
    ends = (path.stem.split("-") for path in folder.glob("*.parquet"))
    return [(datetime.fromtimestamp(int(since), UTC), datetime.fromtimestamp(int(until), UTC)) for since, until in ends]


def _outside(rows: pl.DataFrame, windows: list[tuple[datetime, datetime]]) -> pl.DataFrame:
    """The rows whose step touches none of `windows`."""
    end = pl.col("start") + pl.duration(nanoseconds=(pl.col("step_s") * 1e9).cast(pl.Int64))
    for since, until in windows:
        rows = rows.filter((end <= since) | (pl.col("start") >= until))
    return rows


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
