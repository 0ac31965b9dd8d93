"""Metrics that were sent to a collector, in the metric store: counted in the same commit that takes them out of the log.

    STORE/metrics/otlp/pushed/SINCE-UNTIL-ID.parquet      what a step counted, rows of `metrics.SERIES`
    STORE/streams.arrow                                   what every stream of data points said last

A cumulative point means what it grew by since the last one, so the last one is remembered here, across restarts and kills.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from .atomic import TEMPORARY, sync_file, sync_folder
from .layout import Layout
from .metric_files import named
from .wal import Kind, read_segment

if TYPE_CHECKING:
    from meshslo.telemetry.otlp_metrics import Counted

Moved = tuple[Path, Path]
"""A file on the disk under its temporary name, and its final one."""


def folder(layout: Layout) -> Path:
    """Where the series lie; absent until there are any."""
    return layout.metrics / "otlp" / "pushed"


def payloads_in(segments: Iterable[Path]) -> list[bytes]:
    """The metrics exports in `segments`; FileNotFoundError where one has gone."""
    records = (record for path in segments for record in read_segment(path).records)
    return [record.payload for record in records if record.kind == Kind.OTLP_METRICS]


def count_pushed(streams: Path, payloads: Sequence[bytes], now_ns: int) -> "Counted":
    """What metrics exports add to what the store has counted, given the file of its streams."""
    # Not before: it loads every profile there is, and most stores hold no metrics.
    from meshslo.telemetry.otlp_metrics import STATE, count_points

    state = pl.read_ipc(streams.read_bytes()) if streams.exists() else pl.DataFrame(schema=STATE)
    return count_points(payloads, state, now_ns)


def stage_pushed(layout: Layout, counted: "Counted", stem: str) -> list[Moved]:
    """Write the state, and the series if there are any, durably under temporary names."""
    temporary = _temporary(layout.streams)
    counted.state.write_ipc(temporary, compression="zstd")
    sync_file(temporary)
    series = [] if counted.series.is_empty() else [stage_series(layout, counted.series, stem)]
    return [(temporary, layout.streams), *series]


def stage_series(layout: Layout, series: pl.DataFrame, stem: str) -> Moved:
    """Write series (at least one) durably under a temporary name."""
    if not folder(layout).exists():
        folder(layout).mkdir(parents=True)
        for made in (layout.metrics / "otlp", layout.metrics, layout.root):
            sync_folder(made)
    first = pl.col("start").list.min().dt.epoch("s")
    end = pl.col("start").list.max().dt.epoch("s") + pl.col("step_s").ceil().cast(pl.Int64)
    since_s, until_s = series.select(first.min().alias("since"), end.max().alias("until")).row(0)
    final = folder(layout) / named(since_s, until_s, stem.replace("-", ""))
    temporary = _temporary(final)
    series.write_parquet(temporary, compression="zstd")
    sync_file(temporary)
    return temporary, final


def _temporary(final: Path) -> Path:
    return final.with_name(f".{final.name}{TEMPORARY}")
