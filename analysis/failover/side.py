"""One place beside the other: first tokens, failures, money for tokens, and how many calls it had at a time."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from scipy.special import ndtri

from meshslo.analysis.concurrency import sweep
from meshslo.analysis.config import Config
from meshslo.analysis.ejection.answers import answers_of
from meshslo.analysis.interval import wilson
from meshslo.analysis.prices import token_cost
from meshslo.analysis.quantile import Interval, Quantile
from meshslo.analysis.survival import LifeTable

TAIL: Final = 0.95

FEWEST_PRICED: Final = 30
"""Calls whose mean cost has a normal interval."""


@dataclass(frozen=True)
class Side:
    """What is known of a place from its calls. `cost`: money for the tokens of a call; None without prices or tokens."""

    name: str
    calls: int
    first_token_p95: Quantile
    failed: Interval
    cost: Interval | None
    peak: float


def side_of(name: str, calls: pl.DataFrame, config: Config) -> Side:
    """The place `name` from its calls: rows of `places.COLUMNS`."""
    confidence = config.objectives.confidence
    failed = answers_of(calls).failed
    return Side(
        name=name,
        calls=calls.height,
        first_token_p95=waits(calls).quantile(TAIL, confidence),
        failed=wilson(int(failed.sum()), len(failed), confidence),
        cost=_cost(name, calls, config),
        peak=_peak(calls),
    )


def waits(calls: pl.DataFrame) -> LifeTable:
    """First tokens of calls, whole answers where nothing streams; those that a timer cut before count as cut."""
    done = (
        pl.when(pl.col("outcome") == "ok").then("duration_s")
        if calls["first_token_s"].is_null().all()
        else pl.col("first_token_s")
    )
    cut = pl.when(pl.col("outcome").is_in(["timeout", "cancelled"])).then("duration_s")
    rows = calls.select(seconds=pl.coalesce(done, cut), finished=done.is_not_null()).filter(pl.col("seconds") > 0)
    return LifeTable.from_durations(rows["seconds"].to_numpy(), rows["finished"].to_numpy())


def _cost(name: str, calls: pl.DataFrame, config: Config) -> Interval | None:
    """Mean money of a call's tokens at this place, with its normal interval."""
    paid = calls.select(cost=token_cost(config.models))["cost"].drop_nulls().to_numpy()
    if len(paid) < FEWEST_PRICED:
        return None
    ratio = config.prices.places.get(name, 1.0)
    mean, error = float(np.mean(paid)), float(np.std(paid, ddof=1)) / len(paid) ** 0.5
    half = float(ndtri(0.5 + config.objectives.confidence / 2.0)) * error
    return Interval(ratio * mean, ratio * max(0.0, mean - half), ratio * (mean + half))


def _peak(calls: pl.DataFrame) -> float:
    """The most calls at a time."""
    known = calls.filter(pl.col("duration_s").is_not_null())
    start_s = (known["start"] - known["start"].min()).dt.total_nanoseconds().to_numpy() * 1e-9 if known.height else np.empty(0)
    return sweep(start_s, start_s + known["duration_s"].to_numpy(), known["weight"].fill_null(1.0).to_numpy()).peak
