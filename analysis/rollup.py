"""The one data structure: calls counted into exponential histograms by time bucket and key.

Every number meshslo prints is a function of rollups (or says that it used raw calls). Two rollups merge by adding, so hours
fold into days and machines into a cluster, in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import polars as pl

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.vocabulary import OUTCOMES, PHASES, VANTAGES, Phase

from . import histogram
from .phases import timed

KEYS: Final = ("hop", "route", "model", "tenant")
"""What calls are told apart by unless asked otherwise; `vantage` is always a key."""

CELL_VALUES: Final = ("count", "weight", "weight_sq")
EDGES: Final = ("low_s", "high_s")
"""Columns of cells that come from histograms in other buckets than ours: the true edges in seconds, null for our own."""
_ENDINGS: Final = ("phase", "outcome", "event", "censored")


@dataclass(frozen=True, eq=False)
class Rollup:
    """Counts of calls in (time bucket, vantage, keys, phase, outcome, event, censored) and in each histogram bucket of these.

    cells: start (of the time bucket; null where `bucket` is None), vantage, the keys, phase, outcome, event, censored, index,
    count, weight, weight_sq. `event`: the phase was seen to its end. `censored`: cut, so its true duration is longer.
    Neither: another ending (an error's own duration), no latency of success. `index` is null where the phase was not
    seen at all, so that `count` over the cells of one phase is the number of calls. Where a metric's are among them, cells
    have `EDGES` too: the calls lie in (low_s, high_s], or are known to be longer than both where they are equal.
    totals: the same without index, with sum_s, min_s, max_s in seconds, exact.
    """

    cells: pl.DataFrame
    totals: pl.DataFrame
    keys: tuple[str, ...]
    bucket: str | None
    scale: int = histogram.SCALE

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases that were rolled up."""
        there = set(self.cells["phase"].unique())
        return tuple(phase for phase in PHASES if phase in there)

    @property
    def calls(self) -> int:
        """Number of calls (not of cells): those of any one phase, since each phase counts all of them."""
        counted = self.cells.group_by("phase").agg(pl.col("count").sum())
        return int(counted["count"].max() or 0)  # type: ignore[arg-type]  # polars types max() as any Python value

    def merge(self, other: "Rollup") -> "Rollup":
        """Both together. They must have the same keys and time bucket; the finer histogram is made as coarse as the other."""
        if (self.keys, self.bucket) != (other.keys, other.bucket):
            raise ValueError(
                f"a rollup by {self.keys} in {self.bucket} does not merge with one by {other.keys} in {other.bucket}: "
                "use .by(...) and .coarsen(...) on the finer one first"
            )
        scale = min(self.scale, other.scale)
        left, right = self.downscale(scale), other.downscale(scale)
        cells = pl.concat([left.cells, right.cells], how="diagonal")
        return folded(left, cells, pl.concat([left.totals, right.totals]))

    def by(self, keys: Sequence[str]) -> "Rollup":
        """Only told apart by `keys`, which must be among the present ones."""
        self._require(keys)
        dropped = [key for key in self.keys if key not in keys]
        kept = tuple(key for key in self.keys if key in keys)
        return folded(replace(self, keys=kept), self.cells.drop(dropped), self.totals.drop(dropped))

    def where(self, condition: pl.Expr) -> "Rollup":
        """Only the cells of which `condition` holds; it may name start, vantage, the keys, phase and outcome."""
        return replace(self, cells=self.cells.filter(condition), totals=self.totals.filter(condition))

    def window(self, since: datetime | None = None, until: datetime | None = None) -> "Rollup":
        """Only time buckets that begin in [since, until); an end that is None is open."""
        if self.bucket is None and (since or until):
            raise ValueError("this rollup has no time buckets: roll up with bucket='1m' to ask for a window of it")
        if since is not None:
            self = self.where(pl.col("start") >= since)  # noqa: PLW0642 - a narrower self, not another object
        return self if until is None else self.where(pl.col("start") < until)

    def coarsen(self, bucket: str | None) -> "Rollup":
        """In longer time buckets ("1h", "1d", "30d"), or in one without a start where `bucket` is None."""
        start = pl.lit(None, dtype=pl.Datetime("ns", "UTC")) if bucket is None else pl.col("start").dt.truncate(bucket)
        frames = (frame.with_columns(start.alias("start")) for frame in (self.cells, self.totals))
        return folded(replace(self, bucket=bucket), *frames)

    def downscale(self, scale: int) -> "Rollup":
        """In coarser histogram buckets; the present scale returns the same, a finer one raises ValueError."""
        if scale == self.scale:
            return self
        index = histogram.coarser_expr(pl.col("index"), self.scale - scale)
        return folded(replace(self, scale=scale), self.cells.with_columns(index), self.totals)

    def vantages(self) -> tuple[str, ...]:
        """The vantages that there are, outermost first."""
        there = set(self.cells["vantage"].unique())
        return tuple(vantage for vantage in VANTAGES if vantage in there)

    def pick_vantage(self) -> "Rollup":
        """For each hop and phase only the outermost vantage that saw the phase: one call is never counted twice.

        Raises ValueError without the key `hop`: pick first, then drop the hop.
        """
        self._require(["hop"])
        at = ["hop", "phase"]
        outermost = (
            self.cells.group_by([*at, "vantage"])
            .agg(pl.col("event").any().alias("seen"), pl.col("censored").any().alias("cut"))
            # Where no vantage saw the phase, the outermost still tells the outcomes.
            .sort(*at, "seen", "cut", "vantage", descending=[False, False, True, True, False])
            .unique(at, keep="first", maintain_order=True)
        )
        on = [*at, "vantage"]
        cells, totals = (frame.join(outermost, on=on, how="semi", nulls_equal=True) for frame in (self.cells, self.totals))
        return replace(self, cells=cells, totals=totals)

    def _require(self, keys: Sequence[str]) -> None:
        missing = [key for key in keys if key not in self.keys]
        if missing:
            raise ValueError(f"not keys of this rollup: {', '.join(missing)}; it has {', '.join(self.keys)}")


_ADDED: Final = [
    pl.col("count", "weight", "weight_sq", "sum_s").sum(),
    pl.col("min_s").min(),
    pl.col("max_s").max(),
]


def edges_in(cells: pl.DataFrame) -> list[str]:
    """Those of `EDGES` that the cells have: all or none."""
    return [edge for edge in EDGES if edge in cells.columns]


def folded(shape: Rollup, cells: pl.DataFrame, totals: pl.DataFrame) -> Rollup:
    """`shape` with `cells` and `totals` instead of its own, rows of equal keys added up, in order of the keys."""
    group = ["start", "vantage", *shape.keys, *_ENDINGS]
    place = [*group, "index", *edges_in(cells)]
    return replace(
        shape,
        cells=cells.group_by(place).agg(pl.col(CELL_VALUES).sum()).sort(place),
        totals=totals.group_by(group).agg(_ADDED).sort(group),
    )


def roll_up(
    calls: pl.LazyFrame,
    *,
    keys: Sequence[str] = KEYS,
    bucket: str | None = "1m",
    phases: Sequence[Phase] = PHASES,
) -> Rollup:
    """Count calls (rows of `telemetry.schema`) by time bucket, vantage and `keys`, a histogram for each phase and outcome.

    `bucket` is a Polars duration ("1m", "1h"), or None for no time buckets. Calls without a weight count as 1.
    Raises BadInputError naming keys or phases that calls do not have.
    """
    _check(keys, phases, calls)
    parts = [_one_phase(calls, tuple(keys), bucket, phase) for phase in phases]
    counted = pl.concat(parts).collect(engine="streaming")
    empty = Rollup(counted, counted, tuple(keys), bucket)
    return folded(empty, counted.drop("sum_s", "min_s", "max_s"), counted.drop("index"))


def _check(keys: Sequence[str], phases: Sequence[Phase], calls: pl.LazyFrame) -> None:
    unknown = [phase for phase in phases if phase not in PHASES]
    if unknown or not phases:
        raise BadInputError(f"not phases: {', '.join(unknown) or 'none given'}; there are {', '.join(PHASES)}")
    words = [name for name, kind in calls.collect_schema().items() if kind in (pl.String, pl.Categorical, pl.Enum)]
    allowed = [name for name in words if name not in ("vantage", "outcome")]
    wrong = [key for key in keys if key not in allowed]
    if wrong:
        raise BadInputError(f"not keys of calls: {', '.join(wrong)}; there are {', '.join(allowed)}")


def _one_phase(calls: pl.LazyFrame, keys: tuple[str, ...], bucket: str | None, phase: Phase) -> pl.LazyFrame:
    value_s, event, censored = timed(phase)
    weight = pl.col("weight").fill_null(1.0)
    start = pl.lit(None, dtype=pl.Datetime("ns", "UTC")) if bucket is None else pl.col("start").dt.truncate(bucket)
    return (
        calls.select(
            start.alias("start"),
            pl.col("vantage").cast(pl.Enum(VANTAGES)),
            *keys,
            pl.col("outcome").cast(pl.Enum(OUTCOMES)),
            event.alias("event"),
            censored.alias("censored"),
            histogram.index_expr(value_s).alias("index"),
            value_s.alias("value_s"),
            weight.alias("weight"),
        )
        .group_by("start", "vantage", *keys, "outcome", "event", "censored", "index")
        .agg(
            pl.len().cast(pl.UInt64).alias("count"),
            pl.col("weight").sum(),
            (pl.col("weight") ** 2).sum().alias("weight_sq"),
            pl.col("value_s").sum().alias("sum_s"),
            pl.col("value_s").min().alias("min_s"),
            pl.col("value_s").max().alias("max_s"),
        )
        .select(
            "start",
            "vantage",
            *keys,
            pl.lit(phase, dtype=pl.Enum(PHASES)).alias("phase"),
            "outcome",
            "event",
            "censored",
            "index",
            *CELL_VALUES,
            "sum_s",
            "min_s",
            "max_s",
        )
    )
