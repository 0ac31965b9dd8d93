"""Calls of baseline and candidate side by side: of one kind, in order of time, each outcome as a number from 0 to 1.

Kinds are route, model and size of the prompt: a candidate that is asked longer questions is not slower for that. Within a kind
a pair closes as soon as both have calls in it, so which calls stand against each other has nothing to do with how they went.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.analysis.phases import timed
from meshslo.telemetry.vocabulary import CENSORED, Phase

Floats = NDArray[np.float64]

LEARNED_FROM: Final = 100
"""Calls of the baseline that say, for each kind, what is slow; they are not compared themselves."""

_FAILED: Final = pl.col("outcome").is_in(["error", "rejected", "timeout"])
_MADE: Final = pl.max_horizontal("output_tokens", "chunks").cast(pl.Float64)
_STREAMED_S: Final = pl.col("duration_s") - pl.coalesce("open_gap_s", 0.0) - pl.col("first_token_s")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Candidate minus baseline of each pair, between what is possible where a cut call hides it."""

    low: Floats
    high: Floats
    candidates: int
    """Calls of the candidate among them; of a kind that the baseline has too few of there are none."""
    at: Sequence[datetime]
    """When the last call of each pair began."""


@dataclass(frozen=True)
class Measure:
    """What is compared: its name, and a call's value in [0, 1] between `low` and `high`, null where it says nothing.

    A `slow` measure compares durations with those of the baseline, and `seconds` is what it compares.
    """

    name: str
    low: pl.Expr
    high: pl.Expr
    seconds: pl.Expr | None = None
    ended: pl.Expr | None = None


def failures() -> Measure:
    """Calls that failed; one whose caller left tells nothing."""
    failed = pl.when(pl.col("outcome").is_in(sorted(CENSORED - {"timeout"}))).then(None).otherwise(_FAILED.cast(pl.Float64))
    return Measure("failed", failed, failed)


def slow(name: str, seconds: pl.Expr, ended: pl.Expr) -> Measure:
    """Calls that took longer than `slow_s`; a call cut before that may have."""
    beyond = (seconds > pl.col("slow_s")).cast(pl.Float64)
    known = pl.when(seconds.is_not_null() & pl.col("slow_s").is_not_null())
    return Measure(
        name, known.then(beyond), known.then(pl.when(ended | (beyond == 1.0)).then(beyond).otherwise(1.0)), seconds, ended
    )


def measures() -> list[Measure]:
    """All that are compared: failures, first token, longest gap, total, time per token."""
    return [failures(), *(slow(phase, *_phase(phase)) for phase in ("first_token", "max_gap", "total")), per_token()]


def per_token() -> Measure:
    """Time per token after the first; cut streams show it as well as whole ones."""
    return slow("per_token", pl.when(_MADE > 1).then(_STREAMED_S / (_MADE - 1)), pl.lit(value=True))


def _phase(phase: Phase) -> tuple[pl.Expr, pl.Expr]:
    value = timed(phase)
    return pl.when(value.event | value.censored).then(value.value_s), value.event


def with_kinds(calls: pl.DataFrame) -> pl.DataFrame:
    """Calls with their `kind`, a number: hop, route, model, and size of the prompt by powers of four.

    How many there are of a kind plays no part: what stands against what must not depend on when one looks.
    """
    size = pl.col("input_tokens").fill_null(0).clip(lower_bound=1).log(4).round().cast(pl.Int64)
    return calls.with_columns(pl.struct("hop", "route", "model", size.alias("size")).rank("dense").alias("kind"))


def pair(calls: pl.DataFrame, measure: Measure, q: float) -> Pairs:
    """The pairs of one measure, in order of time. `calls` have `is_candidate` and `kind`, and are sorted by their start."""
    rows = calls if measure.seconds is None else _after_learning(calls, measure.seconds, q)
    values = rows.select("kind", "is_candidate", "start", low=measure.low, high=measure.high).drop_nulls(["low", "high"])
    numbered = values.with_columns(_pair_number(values))
    order = pl.int_range(pl.len()).alias("order")
    arms = numbered.with_columns(order).group_by("kind", "pair", "is_candidate")
    means = arms.agg(pl.col("low", "high").mean(), pl.col("order", "start").max(), pl.len().alias("calls"))
    mine, theirs = (means.filter(pl.col("is_candidate") == each).drop("is_candidate") for each in (True, False))
    joined = mine.join(theirs, on=["kind", "pair"], suffix="_base").sort(pl.max_horizontal("order", "order_base"))
    return Pairs(
        (joined["low"] - joined["high_base"]).to_numpy(),
        (joined["high"] - joined["low_base"]).to_numpy(),
        int(joined["calls"].sum()),
        joined.select(pl.max_horizontal("start", "start_base"))["start"].to_list(),
    )


def _after_learning(calls: pl.DataFrame, seconds: pl.Expr, q: float) -> pl.DataFrame:
    """Calls after those of the baseline that say what is slow, with that limit in `slow_s`."""
    seen = calls.with_columns(seconds.alias("seconds")).filter(pl.col("seconds").is_not_null())
    number = (~pl.col("is_candidate")).cum_sum().over("kind")
    seen = seen.with_columns(number.alias("number"))
    learning = (pl.col("number") <= LEARNED_FROM) & ~pl.col("is_candidate")
    limits = seen.filter(learning).group_by("kind").agg(pl.col("seconds").quantile(q, "higher").alias("slow_s"), pl.len())
    enough = limits.filter(pl.col("len") == LEARNED_FROM).drop("len")
    return seen.filter(pl.col("number") > LEARNED_FROM).join(enough, on="kind", maintain_order="left").drop("seconds")


def _pair_number(values: pl.DataFrame) -> pl.Series:
    """Which pair of its kind each call belongs to: one closes with the call that gives it both sides."""
    open_sides: dict[int, list[bool]] = {}
    pairs: dict[int, int] = {}
    numbers = []
    for kind, is_candidate in values.select("kind", "is_candidate").iter_rows():
        sides = open_sides.setdefault(kind, [False, False])
        sides[is_candidate] = True
        numbers.append(pairs.setdefault(kind, 0))
        if all(sides):
            pairs[kind] += 1
            open_sides[kind] = [False, False]
    return pl.Series("pair", numbers, dtype=pl.Int64)
