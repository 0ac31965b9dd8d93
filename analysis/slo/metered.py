"""The calls of an objective where only pulled metrics show them: counts by bucket, which say less than the calls would.

A bucket that holds the threshold is unknown on both sides of it, and so are calls above the top edge below the threshold.
Whether one call keeps several objectives is in no histogram: of goodput metrics say nothing.
"""

from typing import Final

import polars as pl

from meshslo.analysis.metrics import roll_up_series
from meshslo.analysis.survival import LifeTable
from meshslo.telemetry.vocabulary import Phase

from .judging import MINUTE, VERDICTS, Judged
from .objective import SELECTION, Objective

VANTAGE: Final = "metric"

_SLACK: Final = 1e-9
"""Edges are converted from the metric's unit: 2500 ms is 2.5 s, give or take a rounding."""


def judge_series(series: pl.LazyFrame, objective: Objective) -> tuple[Judged, float | None]:
    """What metric series (rows of `telemetry.store.metrics`) say of an objective, and the survival estimate of its share."""
    there = series.collect_schema().names()
    known = [key for key in objective.selection if key in there]
    if objective.sli == "goodput" or len(known) < len(objective.selection):
        return nothing(), None
    chosen = series.filter(pl.col(key) == objective.selection[key] for key in known)
    phase: Phase = objective.phase or "total"
    rollup = roll_up_series(chosen, keys=SELECTION, bucket=MINUTE, phases=[phase])
    if objective.threshold_s is None:
        return _by_minute(rollup.totals.with_columns(_by_outcome())), None
    cells = rollup.cells
    within = LifeTable.from_cells(cells).exceedance(objective.threshold_s)
    judged = _by_minute(cells.with_columns(_by_edge(objective.threshold_s)))
    return judged, None if judged.minutes.is_empty() else 1.0 - within.estimate


def _by_outcome() -> list[pl.Expr]:
    outcome = pl.col("outcome").cast(pl.String)
    return [
        (outcome == "ok").alias("kept"),
        outcome.is_in(["error", "timeout", "rejected"]).alias("broken"),
        pl.lit(value=False).alias("unknown"),
    ]


def _by_edge(threshold_s: float) -> list[pl.Expr]:
    asked = pl.col("event") | pl.col("censored")
    kept = pl.col("event") & (pl.col("high_s") <= threshold_s * (1.0 + _SLACK))
    broken = asked & (pl.col("low_s") >= threshold_s * (1.0 - _SLACK))
    told = [(name, each.fill_null(value=False)) for name, each in (("kept", kept), ("broken", broken & ~kept))]
    either = told[0][1] | told[1][1]
    return [*(each.alias(name) for name, each in told), (asked & ~either).alias("unknown")]


def _by_minute(rows: pl.DataFrame) -> Judged:
    asked = pl.any_horizontal(VERDICTS)
    minutes = rows.group_by("start").agg(
        *(pl.col("count").filter(name).sum().cast(pl.Int64).alias(name) for name in VERDICTS),
        *(pl.col("weight").filter(name).sum().alias(f"{name}_weight") for name in VERDICTS),
        pl.col("weight_sq").filter(asked).sum(),
        pl.col("count").filter(~asked).sum().cast(pl.Int64).alias("others"),
    )
    return Judged(minutes.sort("start"), VANTAGE if minutes.height else None)


def nothing() -> Judged:
    """No calls at all."""
    words = {"start": pl.Datetime("ns", "UTC"), **dict.fromkeys(VERDICTS, pl.Int64())}
    weights = dict.fromkeys([*(f"{name}_weight" for name in VERDICTS), "weight_sq"], pl.Float64())
    return Judged(pl.DataFrame(schema={**words, **weights, "others": pl.Int64()}), None)
