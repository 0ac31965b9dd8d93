"""The rollup of call rows: one group-by for each phase. What can be done with a rollup is in `folding`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.vocabulary import OUTCOMES, PHASES, VANTAGES, Phase

from . import histogram
from .counting import Counted, count
from .folding import CELL_VALUES, EDGES, EXTREMES, KEYS, TOTAL_VALUES, Rollup, bucket_start, edges_in, from_cells, place
from .phases import Timed, ending, follows_from_outcome, timed

__all__ = ["CELL_VALUES", "EDGES", "KEYS", "Rollup", "edges_in", "from_cells", "roll_up"]


def roll_up(
    calls: pl.LazyFrame,
    *,
    keys: Sequence[str] = KEYS,
    bucket: str | None = "1m",
    phases: Sequence[Phase] = PHASES,
    extremes: bool = True,
) -> Rollup:
    """Count calls (rows of `telemetry.schema`) by time bucket, vantage and `keys`, a histogram for each phase and outcome.

    `bucket` is a Polars duration ("1m", "1h"), or None for no time buckets. Calls without a weight count as 1. Without
    `extremes` the totals hold no sums, shortest and longest durations, which spares a second pass.
    Raises BadInputError naming keys or phases that calls do not have.
    """
    _check(keys, phases, calls)
    plan = _Plan(calls, tuple(keys), bucket, extremes)
    first, *rest = [plan.roll_up(phase) for phase in phases]
    for rollup in rest:
        first = first.merge(rollup)
    return first


def _check(keys: Sequence[str], phases: Sequence[Phase], calls: pl.LazyFrame) -> None:
    unknown = [phase for phase in phases if phase not in PHASES]
    if unknown or not phases:
        raise BadInputError(f"not phases: {', '.join(unknown) or 'none given'}; there are {', '.join(PHASES)}")
    words = [name for name, kind in calls.collect_schema().items() if kind in (pl.String, pl.Categorical, pl.Enum)]
    allowed = [name for name in words if name not in ("vantage", "outcome")]
    wrong = [key for key in keys if key not in allowed]
    if wrong:
        raise BadInputError(f"not keys of calls: {', '.join(wrong)}; there are {', '.join(allowed)}")


@dataclass(frozen=True)
class _Plan:
    """What to roll up of which calls."""

    calls: pl.LazyFrame
    keys: tuple[str, ...]
    bucket: str | None
    extremes: bool

    @cached_property
    def weighted(self) -> bool:
        """Whether any call weighs other than 1."""
        return bool(self.calls.select((pl.col("weight").fill_null(1.0) != 1.0).any()).collect(engine="streaming").item())

    def roll_up(self, phase: Phase) -> Rollup:
        """The rollup of one phase."""
        calls = timed(phase)
        # Groups in time buckets are many and small: there the general group-by is the better one.
        dense = None if self.bucket is not None else self._dense(phase, calls)
        return dense if dense is not None else self._general(phase, calls)

    def _dense(self, phase: Phase, calls: Timed) -> Rollup | None:
        words = ["vantage", *self.keys, "outcome"]
        rows = self._rows(calls)
        if not follows_from_outcome(phase):
            words += ["event", "censored"]
        counted = count(rows, words, weighted=self.weighted)
        if counted is None:
            return None
        rollup = _named(counted, phase, self.keys)
        return rollup.with_extremes(self._measured(phase, calls)) if self.extremes else rollup

    def _measured(self, phase: Phase, calls: Timed) -> pl.DataFrame:
        """Sum, shortest and longest duration of each group."""
        words = ["start", "vantage", *self.keys, "outcome", "event", "censored"]
        grouped = self._rows(calls).group_by(words).agg(_MEASURES)
        return self._typed(grouped, phase).collect(engine="streaming")

    def _general(self, phase: Phase, calls: Timed) -> Rollup:
        words = ["start", "vantage", *self.keys, "outcome", "event", "censored"]
        weight = pl.col("weight")
        grouped = (
            self._rows(calls)
            .with_columns(histogram.index_expr(pl.col("value_s")).alias("index"))
            .group_by(*words, "index")
            .agg(pl.len().cast(pl.UInt64).alias("count"), weight.sum(), (weight**2).sum().alias("weight_sq"), *_MEASURES)
        )
        cells = self._typed(grouped, phase).collect(engine="streaming")
        if not self.extremes:
            cells = cells.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in EXTREMES)
        return from_cells(cells.drop(EXTREMES), cells.drop("index"), self.keys, self.bucket)

    def _rows(self, calls: Timed) -> pl.LazyFrame:
        return self.calls.select(
            bucket_start(self.bucket),
            "vantage",
            *self.keys,
            "outcome",
            calls.event.alias("event"),
            calls.censored.alias("censored"),
            calls.value_s.alias("value_s"),
            pl.col("weight").fill_null(1.0),
        )

    def _typed(self, grouped: pl.LazyFrame, phase: Phase) -> pl.LazyFrame:
        return grouped.with_columns(*_words(self.keys), pl.lit(phase, dtype=pl.Enum(PHASES)).alias("phase"))


_MEASURES: Final = [
    pl.col("value_s").sum().alias("sum_s"),
    pl.col("value_s").min().alias("min_s"),
    pl.col("value_s").max().alias("max_s"),
]


def _words(keys: Sequence[str]) -> list[pl.Expr]:
    return [pl.col("vantage").cast(pl.Enum(VANTAGES)), pl.col("outcome").cast(pl.Enum(OUTCOMES)), pl.col(keys).cast(pl.String)]


def _named(counted: Counted, phase: Phase, keys: tuple[str, ...]) -> Rollup:
    """The rollup of what was counted, without extremes: a group that has calls in which the phase was not seen becomes two."""
    cells = counted.cells
    split = cells["group"].to_numpy().astype(np.int64) * 2 + cells["index"].is_not_null().to_numpy()
    sums = [np.bincount(split, weights=cells[name].to_numpy(), minlength=2 * counted.words.height) for name in CELL_VALUES]
    used = np.flatnonzero(sums[0])
    words = counted.words[used // 2].with_columns(
        pl.Series("seen", used % 2 == 1),
        *_words(keys),
        pl.lit(None, dtype=pl.Datetime("ns", "UTC")).alias("start"),
        pl.lit(phase, dtype=pl.Enum(PHASES)).alias("phase"),
        *(pl.Series(name, total[used], dtype=pl.Float64) for name, total in zip(CELL_VALUES, sums, strict=True)),
        *(pl.lit(None, dtype=pl.Float64).alias(name) for name in EXTREMES),
    )
    if follows_from_outcome(phase):
        event, censored = ending(pl.col("seen"))
        words = words.with_columns(event.alias("event"), censored.alias("censored"))
    number = np.zeros(2 * counted.words.height, np.uint32)
    number[used] = np.arange(len(used))
    totals = words.select(*place(keys), *TOTAL_VALUES).with_columns(pl.col("count").cast(pl.UInt64))
    # Two that come to the same name again (errors seen and not seen) share no cell: the one's index is null.
    return Rollup(totals, cells.with_columns(pl.Series("group", number[split])), keys, None).renamed(totals, distinct=True)
