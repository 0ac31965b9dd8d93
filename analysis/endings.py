"""Endings that compete: by when which share of calls ended how, and what leaving early may hide.

A call that its caller gave up on is censored in the survival estimate as if leaving had nothing to do with slowness. If callers
leave because it is slow, the estimate is off; the two bounds say by how much at most.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import polars as pl

from meshslo.telemetry.vocabulary import CENSORED, OUTCOMES, Outcome

from . import histogram
from .quantile import Quantile
from .survival import LifeTable


@dataclass(frozen=True)
class Band:
    """A quantile if every call that left would have ended just then, and if none of them would ever have ended."""

    soonest: Quantile
    latest: Quantile


def leaving_band(
    cells: pl.DataFrame,
    q: float,
    confidence: float = 0.95,
    *,
    scale: int = histogram.SCALE,
    left: Collection[str] = ("cancelled",),
) -> Band:
    """Between what the `q` quantile of `cells` (one group and phase) lies, whatever the calls that `left` would have done.

    Timeouts stay censored unless named: a timer does not know how slow a call is going to be. Source: Peterson 1976.
    """
    gone = pl.col("censored") & pl.col("outcome").is_in(list(left))
    ended = cells.with_columns((pl.col("event") | gone).alias("event"), (pl.col("censored") & ~gone).alias("censored"))
    never = pl.lit(int(histogram.index_of([histogram.CEILING_S], scale)[0]), dtype=histogram.INDEX_TYPE)
    stayed = cells.with_columns(pl.when(gone).then(never).otherwise("index").alias("index"))
    soonest, latest = (LifeTable.from_cells(frame, scale=scale) for frame in (ended, stayed))
    longest_s = LifeTable.from_cells(cells, scale=scale).longest_s
    answer = latest.quantile(q, confidence)
    if answer.status == "at_least":
        # No call was seen as long as "for ever": what is known is that it is longer than all that was seen.
        answer = Quantile(
            q, longest_s, answer.low_s if (answer.low_s or 0.0) < longest_s else longest_s, None, "at_least",
            completed_value_s=answer.completed_value_s,
        )  # fmt: skip
    return Band(soonest.quantile(q, confidence), answer)


def cumulative_incidence(
    cells: pl.DataFrame, censored: Sequence[Outcome] = tuple(sorted(CENSORED)), *, scale: int = histogram.SCALE
) -> pl.DataFrame:
    """By each duration the share of calls ended in each way: upper_s (edge of the bucket), running, a column an outcome.

    `cells` are those of one group and phase `total`; outcomes in `censored` only end the watching. The shares of a row add up
    to 1 with `running`. Calls whose duration is unknown are not in it.
    Source: Aalen and Johansen 1978; without censoring it is the plain share.
    """
    kinds = [outcome for outcome in OUTCOMES if outcome not in censored]
    ended = [pl.col("weight").filter(pl.col("outcome") == kind).sum().alias(kind) for kind in kinds]
    lost = pl.col("weight").filter(pl.col("outcome").cast(pl.String).is_in(list(censored))).sum().alias("lost")
    rows = cells.filter(pl.col("index").is_not_null()).group_by("index").agg(*ended, lost).sort("index")
    gone = pl.sum_horizontal(*kinds, "lost")
    at_risk = gone.sum() - gone.cum_sum() + gone
    left = pl.sum_horizontal(kinds) / at_risk
    before = (1.0 - left).clip(0.0).cum_prod().shift(1, fill_value=1.0)
    return (
        rows.with_columns(before.alias("before"), at_risk.alias("at_risk"))
        .with_columns(*((pl.col("before") * pl.col(kind) / pl.col("at_risk")).cum_sum().alias(kind) for kind in kinds))
        .select(
            pl.Series("upper_s", histogram.upper_edge(rows["index"].to_numpy(), scale)),
            (1.0 - pl.sum_horizontal(kinds)).clip(0.0).alias("running"),
            *kinds,
        )
    )
