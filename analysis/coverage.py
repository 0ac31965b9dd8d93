"""What the calls of a store can tell: who saw each hop, which columns are set, whose clocks run apart.

Pure counting; what follows from it is for `analysis.doctor` to say.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from meshslo.telemetry.vocabulary import VANTAGES

from .streams import STREAMS

SKEW_CALLS: Final = 2_000_000
"""Up to so many calls are looked at for clock skew; of more, the traces are sampled by a hash of their id."""

_OK: Final = pl.col("outcome") == "ok"


@dataclass(frozen=True, eq=False)
class Coverage:
    """Counts of calls by hop and vantage, and over all of them.

    hops: hop, vantage, calls, ok, tenant, model, caller, weight (calls on which the column is set), timed (with a
    duration), streams, streams_ok, first_token, max_gap (of the streams that ended ok, those that show the phase).
    skew: examined (calls whose parent is in the store too), early (of these, begun before it), worst_s, orphans (with a
    parent that is not in the store).
    """

    hops: pl.DataFrame
    skew: "Skew"
    duplicates: int
    start: datetime | None
    end: datetime | None

    @property
    def calls(self) -> int:
        """Rows at all vantages together; one call counts once for each vantage that saw it."""
        return int(self.hops["calls"].sum())

    def share(self, column: str) -> float | None:
        """The share of calls on which `column` is set, over all hops and vantages; None where there are none."""
        return int(self.hops[column].sum()) / self.calls if self.calls else None

    def best_share(self, column: str, of: str) -> float | None:
        """The share of `of` on which `column` is set, at the vantage of each hop that shows it best; None without any."""
        shown = self.hops.filter(pl.col(of) > 0).with_columns((pl.col(column) / pl.col(of)).alias("share"))
        best = shown.sort("share", descending=True).unique("hop", keep="first", maintain_order=True)
        return int(best[column].sum()) / int(best[of].sum()) if best.height else None


@dataclass(frozen=True)
class Skew:
    """How often a call began before the one that made it, which only two clocks can show."""

    examined: int
    early: int
    worst_s: float
    orphans: int


@dataclass(frozen=True)
class Metered:
    """What a profile's metrics of one server say: of how many hops, in which seconds, and in which steps of time."""

    profile: str
    source: str
    hops: int
    phases: tuple[str, ...]
    start: datetime
    end: datetime


def metered(series: pl.LazyFrame) -> tuple[Metered, ...]:
    """The profiles in `series` (rows of `telemetry.store.metrics.SERIES` with their steps), in order of name."""
    found = (
        series.group_by("profile", "source")
        .agg(
            hops=pl.col("hop").n_unique(),
            phases=pl.col("phase").drop_nulls().unique().sort(),
            start=pl.col("start").list.min().min().dt.cast_time_unit("us"),
            end=(pl.col("start").list.max() + pl.duration(microseconds=pl.col("step_s") * 1e6)).max().dt.cast_time_unit("us"),
        )
        .sort("profile", "source")
        .collect(engine="streaming")
    )
    return tuple(Metered(**row | {"phases": tuple(row["phases"])}) for row in found.iter_rows(named=True))


def coverage(calls: pl.LazyFrame) -> Coverage:
    """Count what `calls` (rows of `telemetry.schema`) can tell."""
    hops, ends = pl.collect_all([_by_hop(calls), _ends(calls)], engine="streaming")
    rows, unique, start, end = ends.row(0)
    return Coverage(hops.sort("hop", "vantage"), _skew(calls, int(rows)), int(rows) - int(unique), start, end)


def _by_hop(calls: pl.LazyFrame) -> pl.LazyFrame:
    stream_ok = STREAMS & _OK
    return calls.group_by("hop", pl.col("vantage").cast(pl.Enum(VANTAGES))).agg(
        calls=pl.len(),
        ok=_OK.sum(),
        **{name: pl.col(name).is_not_null().sum() for name in ("tenant", "model", "caller", "weight")},
        timed=pl.col("duration_s").is_not_null().sum(),
        streams=STREAMS.sum(),
        streams_ok=stream_ok.sum(),
        first_token=(stream_ok & pl.col("first_token_s").is_not_null()).sum(),
        max_gap=(stream_ok & pl.col("max_gap_s").is_not_null()).sum(),
    )


def _ends(calls: pl.LazyFrame) -> pl.LazyFrame:
    identified = pl.col("span_id").is_not_null()
    unique = pl.struct("trace_id", "span_id", "vantage").filter(identified).n_unique()
    return calls.select(
        rows=pl.len(),
        unique=pl.when(identified.any()).then(unique).otherwise(0) + (~identified).sum(),
        start=pl.col("start").min().dt.cast_time_unit("us"),
        end=pl.col("start").max().dt.cast_time_unit("us"),
    )


def _skew(calls: pl.LazyFrame, rows: int) -> Skew:
    """Each call against the one around it, found by its parent's id."""
    own = calls.select("trace_id", "span_id", "parent_span_id", "start").filter(pl.col("trace_id").is_not_null())
    one_in = -(-rows // SKEW_CALLS)
    if one_in > 1:
        own = own.filter(pl.col("trace_id").hash() % one_in == 0)
    parents = own.select("trace_id", parent_span_id="span_id", began="start").unique(["trace_id", "parent_span_id"], keep="any")
    children = own.filter(pl.col("parent_span_id").is_not_null())
    early_s = (pl.col("began") - pl.col("start")).dt.total_nanoseconds() / 1e9
    found = children.join(parents, on=["trace_id", "parent_span_id"], how="left").select(
        examined=pl.col("began").is_not_null().sum(),
        early=(early_s > 0).sum(),
        worst_s=early_s.max().fill_null(0.0).clip(lower_bound=0.0),
        orphans=pl.col("began").is_null().sum(),
    )
    examined, early, worst_s, orphans = found.collect(engine="streaming").row(0)
    return Skew(int(examined), int(early), float(worst_s), int(orphans))
