"""The one data structure: calls counted into exponential histograms by time bucket and key.

Every number meshslo prints is a function of rollups (or says that it used raw calls). Two rollups merge by adding, so hours
fold into days and machines into a cluster, in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from meshslo.telemetry.vocabulary import PHASES, VANTAGES, Phase

from . import histogram
from .adding import CELL_VALUES, Ints, Runs, add_up, edges_in, move, of_groups, unweighed, values_in, weighed
from .groups import numbered

KEYS: Final = ("hop", "route", "model", "tenant")
"""What calls are told apart by unless asked otherwise; `vantage` is always a key."""

EXTREMES: Final = ("sum_s", "min_s", "max_s")
TOTAL_VALUES: Final = (*CELL_VALUES, *EXTREMES)

ROWS: Final = "rows"
"""Column of totals: how many rows of counts are the group's."""

_ENDINGS: Final = ("phase", "outcome", "event", "censored")
_ADDED: Final = [
    pl.col(CELL_VALUES).sum(),
    pl.when(pl.col("sum_s").is_not_null().any()).then(pl.col("sum_s").sum()).alias("sum_s"),
    pl.col("min_s").min(),
    pl.col("max_s").max(),
]


def place(keys: Sequence[str]) -> list[str]:
    """The columns whose values make a group of a rollup by `keys`."""
    return ["start", "vantage", *keys, *_ENDINGS]


@dataclass(frozen=True, eq=False)
class Rollup:
    """Counts of calls in each group, and in each histogram bucket of the group.

    totals: one row a group, in order: start (of the time bucket; null where `bucket` is None), vantage, the keys, phase,
    outcome, event, censored; count, weight, weight_sq (sum of squared weights), and sum_s, min_s, max_s in seconds, exact
    (null where they were not asked for); rows (of counts). `event`: the phase was seen to its end. `censored`: cut, so its
    true duration is longer. Neither: another ending (an error's own duration), no latency of success.
    counts: as many rows as `rows` says for each group, one group after the other: index, in order, and count; weight and
    weight_sq where any call weighs other than 1. `index` is null where the phase was not seen at all, so that `count` over
    the groups of one phase is the number of calls. Where a metric's are among them, counts have `EDGES` too: the calls lie in
    (low_s, high_s], or are known to be longer than both where they are equal.
    """

    totals: pl.DataFrame
    counts: pl.DataFrame
    keys: tuple[str, ...]
    bucket: str | None
    scale: int = histogram.SCALE

    @cached_property
    def cells(self) -> pl.DataFrame:
        """`counts` with the words of their groups instead of their numbers, and with weights."""
        words = self.totals.select(place(self.keys))[np.repeat(np.arange(self.totals.height), self.runs.rows)]
        return words.hstack(weighed(self.counts))

    @cached_property
    def runs(self) -> Runs:
        """The counts, and how many rows of them each group has."""
        return Runs(self.counts, self.totals[ROWS].to_numpy().astype(np.int64))

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases that were rolled up."""
        there = set(self.totals["phase"].unique())
        return tuple(phase for phase in PHASES if phase in there)

    @property
    def calls(self) -> int:
        """Number of calls (not of cells): those of any one phase, since each phase counts all of them."""
        counted = self.totals.group_by("phase").agg(pl.col("count").sum())["count"].to_list()
        return max(counted, default=0)

    def merge(self, other: "Rollup") -> "Rollup":
        """Both together. They must have the same keys and time bucket; the finer histogram is made as coarse as the other."""
        if (self.keys, self.bucket) != (other.keys, other.bucket):
            raise ValueError(
                f"a rollup by {self.keys} in {self.bucket} does not merge with one by {other.keys} in {other.bucket}: "
                "use .by(...) and .coarsen(...) on the finer one first"
            )
        return piled([self, other], self.keys, self.bucket)

    def by(self, keys: Sequence[str]) -> "Rollup":
        """Only told apart by `keys`, which must be among the present ones."""
        self._require(keys)
        kept = tuple(key for key in self.keys if key in keys)
        return self if kept == self.keys else replace(self, keys=kept).renamed(self.totals)

    def where(self, condition: pl.Expr) -> "Rollup":
        """Only the groups of which `condition` holds; it may name start, vantage, the keys, phase, outcome and ending."""
        kept = self.totals.select(condition.fill_null(value=False).alias("kept"))["kept"].to_numpy()
        if kept.all():
            return self
        counts = self.counts.filter(pl.Series(np.repeat(kept, self.runs.rows)))
        return replace(self, totals=self.totals.filter(pl.Series(kept)), counts=counts)

    def window(self, since: datetime | None = None, until: datetime | None = None) -> "Rollup":
        """Only time buckets that begin in [since, until); an end that is None is open."""
        if self.bucket is None and (since or until):
            raise ValueError("this rollup has no time buckets: roll up with bucket='1m' to ask for a window of it")
        start = pl.col("start")
        later = self if since is None else self.where(start >= since)
        return later if until is None else later.where(start < until)

    def coarsen(self, bucket: str | None) -> "Rollup":
        """In longer time buckets ("1h", "1d", "30d"), or in one without a start where `bucket` is None."""
        longer = replace(self, totals=self.totals.with_columns(bucket_start(bucket)), bucket=bucket)
        # Longer buckets are in order as the shorter ones were: where each holds one of these, so are the groups.
        alike = longer.totals["start"].n_unique() == self.totals["start"].n_unique()
        return longer if alike else longer.renamed(longer.totals)

    def downscale(self, scale: int) -> "Rollup":
        """In coarser histogram buckets; the present scale returns the same, a finer one raises ValueError."""
        if scale == self.scale:
            return self
        index = histogram.coarser_expr(pl.col("index"), self.scale - scale)
        same = np.arange(self.totals.height)
        added = add_up(Runs(self.counts.with_columns(index), self.runs.rows), same, len(same))
        return replace(self, scale=scale, totals=_with_rows(self.totals, added.rows), counts=added.counts)

    def vantages(self) -> tuple[str, ...]:
        """The vantages that there are, outermost first."""
        there = set(self.totals["vantage"].unique())
        return tuple(vantage for vantage in VANTAGES if vantage in there)

    def pick_vantage(self) -> "Rollup":
        """For each hop and phase only the outermost vantage that saw the phase: one call is never counted twice.

        Raises ValueError without the key `hop`: pick first, then drop the hop.
        """
        self._require(["hop"])
        outermost = (
            self.totals.group_by("hop", "phase", "vantage")
            .agg(pl.col("event").any().alias("seen"), pl.col("censored").any().alias("cut"))
            # Above the top bucket of a metric all are cut: no timer that calls would have missed.
            .with_columns(inner=pl.col("seen") & (pl.col("vantage") == "metric"))
            # Where no vantage saw the phase, the outermost still tells the outcomes.
            .sort("hop", "phase", "seen", "inner", "cut", "vantage", descending=[False, False, True, False, True, False])
            .unique(["hop", "phase"], keep="first", maintain_order=True)
            .select("hop", "phase", "vantage", pl.lit(value=True).alias("picked"))
        )
        on = ["hop", "phase", "vantage"]
        picked = self.totals.select(on).join(outermost, on=on, how="left", nulls_equal=True, maintain_order="left")["picked"]
        return self.where(pl.lit(picked))

    def renamed(self, words: pl.DataFrame, *, distinct: bool = False) -> "Rollup":
        """This rollup with its groups named as the rows of `words` say (shaped as `totals`); equal names are added up.

        `distinct` promises that groups of equal names have no histogram bucket in common, which spares adding those.
        """
        names = place(self.keys)
        rows, number = numbered(words.select(names))
        apart = len(rows) == words.height
        totals = words.select(*names, *TOTAL_VALUES)[rows]
        if not apart:
            totals = totals.select(names).hstack(_added(words, number, len(rows)))
        added = (move if distinct or apart else add_up)(self.runs, number, len(rows))
        return replace(self, totals=_with_rows(totals, added.rows), counts=added.counts)

    def with_extremes(self, measured: pl.DataFrame) -> "Rollup":
        """This rollup with sum_s, min_s and max_s of its groups from a frame that has them by name."""
        names = place(self.keys)
        known = self.totals.drop(EXTREMES)
        totals = known.join(measured.select(*names, *EXTREMES), on=names, how="left", nulls_equal=True, maintain_order="left")
        return replace(self, totals=totals.select(self.totals.columns))

    def without_extremes(self) -> "Rollup":
        """This rollup with sum_s, min_s and max_s null."""
        return replace(self, totals=self.totals.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in EXTREMES))

    def _require(self, keys: Sequence[str]) -> None:
        missing = [key for key in keys if key not in self.keys]
        if missing:
            raise ValueError(f"not keys of this rollup: {', '.join(missing)}; it has {', '.join(self.keys)}")


def piled(rollups: Sequence[Rollup], keys: Sequence[str], bucket: str | None) -> Rollup:
    """All of `rollups` together, which have `keys` at least and time buckets no longer than `bucket`."""
    if len(rollups) == 1 and rollups[0].keys == tuple(keys):
        return rollups[0].coarsen(bucket)
    scale = min(rollup.scale for rollup in rollups)
    alike = [rollup.downscale(scale) for rollup in rollups]
    weights = any(len(values_in(rollup.counts)) > 1 for rollup in alike)
    counts = pl.concat([weighed(rollup.counts) if weights else rollup.counts for rollup in alike], how="diagonal")
    columns = [*place(keys), *TOTAL_VALUES, ROWS]
    words = pl.concat([rollup.totals.select(columns) for rollup in alike]).with_columns(bucket_start(bucket))
    return Rollup(words, counts, tuple(keys), bucket, scale).renamed(words)


def from_cells(cells: pl.DataFrame, totals: pl.DataFrame, keys: Sequence[str], bucket: str | None) -> Rollup:
    """The rollup of `cells` (words, index, `EDGES` if a metric's, `CELL_VALUES`) and `totals`; equal rows are added up."""
    words = pl.concat([cells.select(place(keys)), totals.select(place(keys))])
    first, number = numbered(words)
    at = ["group", "index", *edges_in(cells)]
    added = cells.with_columns(pl.Series("group", number[: cells.height])).group_by(at).agg(pl.col(CELL_VALUES).sum())
    runs = of_groups(added.sort(at), len(first))
    complete = words[first].hstack(_added(totals, number[cells.height :], len(first)))
    return Rollup(_with_rows(complete, runs.rows), unweighed(runs.counts), tuple(keys), bucket)


def bucket_start(bucket: str | None) -> pl.Expr:
    """The start of the time bucket that `start` falls in; null where there are no buckets."""
    start = pl.lit(None, dtype=pl.Datetime("ns", "UTC")) if bucket is None else pl.col("start").dt.truncate(bucket)
    return start.alias("start")


def _added(totals: pl.DataFrame, number: Ints, groups: int) -> pl.DataFrame:
    """The values of `totals` added up by the number of each row's group; of a group without a row 0 and null."""
    added = totals.select(pl.Series("group", number), *TOTAL_VALUES).group_by("group").agg(_ADDED)
    every = pl.DataFrame({"group": np.arange(groups)}).join(added, on="group", how="left", maintain_order="left")
    return every.select(*(pl.col(name).fill_null(0) for name in CELL_VALUES), *EXTREMES)


def _with_rows(totals: pl.DataFrame, rows: Ints) -> pl.DataFrame:
    return totals.with_columns(pl.Series(ROWS, rows.astype(np.uint32)))
