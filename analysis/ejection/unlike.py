"""Pods unlike the others: those that fail more, and those that are slower with the same work."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from .answers import Answers

FALSE_DISCOVERIES: Final = 0.05
"""Share of the pods found that may be found by chance."""

FEWEST_OF_POD: Final = 30
"""Calls of a pod without which nothing is said of its speed."""

LEAST_RATIO: Final = 1.1
"""A pod slower by less than this is not worth a word, however sure it is."""

LEAST_FAILURES_RATIO: Final = 2.0
"""A pod that fails this much more often than the others do is broken, where that is sure."""

STRETCHES: Final = 20
"""Stretches of time within which pods are compared: what slows all of them at once is nobody's fault."""


@dataclass(frozen=True)
class Broken:
    """A pod that surely fails more often than the others: shares of failures, and its worst stretch of time in seconds."""

    pod: str
    share: float
    others_share: float
    from_s: float
    until_s: float


@dataclass(frozen=True)
class Slow:
    """A pod that is surely slower than the others at the same work: by what ratio, with its interval, from how many calls."""

    pod: str
    ratio: float
    low: float
    high: float
    calls: int


def discoveries(p_values: NDArray[np.float64], rate: float = FALSE_DISCOVERIES) -> NDArray[np.bool_]:
    """Which hypotheses are rejected so that of those at most `rate` are rejected falsely on average.

    Source: Benjamini and Hochberg 1995.

    >>> discoveries(np.array([0.001, 0.04, 0.03, 0.9]), 0.05).tolist()
    [True, False, False, False]
    """
    order = np.argsort(p_values)
    allowed = rate * np.arange(1, len(p_values) + 1) / max(len(p_values), 1)
    passing = np.flatnonzero(p_values[order] <= allowed)
    found = np.zeros(len(p_values), dtype=bool)
    if len(passing):
        found[order[: passing[-1] + 1]] = True
    return found


def broken_pods(answers: Answers) -> list[Broken]:
    """Pods that fail surely more often than all others together; sure with the false-discovery rate above.

    How many of all failures fall on a pod by chance is hypergeometric. Source: Fisher 1934, exact test.
    """
    from scipy.stats import hypergeom  # a second of every command's start, for the few that judge pods

    number = len(answers.pods)
    asked = np.bincount(answers.pod, minlength=number)
    failed = np.bincount(answers.pod[answers.failed], minlength=number)
    others = (failed.sum() - failed) / np.maximum(asked.sum() - asked, 1)
    sure = discoveries(hypergeom.sf(failed - 1, asked.sum(), failed.sum(), asked))
    shares = failed / np.maximum(asked, 1)
    worse = sure & (shares >= LEAST_FAILURES_RATIO * others)
    return [_broken(answers, int(pod), float(shares[pod]), float(others[pod])) for pod in np.flatnonzero(worse)]


def _broken(answers: Answers, pod: int, share: float, others_share: float) -> Broken:
    """The stretch in which failures exceed what lies between the pod's share and the others' by most (Kadane's sum)."""
    mine = answers.of(pod)
    sums = np.cumsum(mine.failed - (share + others_share) / 2.0)
    before = np.concatenate([[0.0], sums[:-1]])
    lowest = np.minimum.accumulate(before)
    end = int(np.argmax(sums - lowest))
    start = int(np.argmin(before[: end + 1]))
    return Broken(mine.pods[pod], share, others_share, float(mine.at_s[start]), float(mine.at_s[end]))


def slow_pods(calls: pl.DataFrame, *, confidence: float) -> list[Slow]:
    """Pods surely slower than the others at the same time with calls of the same kind; sure as `broken_pods`.

    calls: rows of `answers.callee_side`; what counts is the first token, where nothing streams the answer. Ranks are compared
    within route, model, size of prompt and stretch of time. Source: van Elteren 1960 (ranks by stratum).
    """
    rows = _timed(calls)
    pods = rows.group_by("pod").len().filter(pl.col("len") >= FEWEST_OF_POD)["pod"].sort().to_list()
    if len(pods) < 2:
        return []
    found = [_against_others(rows, pod, confidence) for pod in pods]
    sure = discoveries(np.array([p_value for p_value, _ in found]))
    return [slow for (_, slow), yes in zip(found, sure, strict=True) if yes and slow.low > 1.0 and slow.ratio >= LEAST_RATIO]


def _timed(calls: pl.DataFrame) -> pl.DataFrame:
    """Pod, value and stratum of each call that shows how long it waited, with its rank there."""
    value = pl.when(pl.col("first_token_s").is_not_null()).then("first_token_s")
    if calls["first_token_s"].is_null().all():
        value = pl.when(pl.col("outcome") == "ok").then("duration_s")
    size = pl.col("input_tokens").fill_null(0).clip(lower_bound=1).log(2).round().cast(pl.Int64)
    begun = (pl.col("start") - pl.col("start").min()).dt.total_nanoseconds()
    stretch = (begun * STRETCHES / (begun.max() + 1)).cast(pl.Int64)
    stratum = ("route", "model", "size", "stretch")
    return (
        calls.with_columns(value.alias("value"), size.alias("size"), stretch.alias("stretch"))
        .filter(pl.col("value") > 0)
        .select(
            "pod",
            pl.struct(stratum).rank("dense").alias("stratum"),
            pl.col("value").log().alias("log_s"),
            pl.col("value").rank().over(stratum).alias("rank"),
            pl.len().over(stratum).alias("of"),
        )
    )


def _against_others(rows: pl.DataFrame, pod: str, confidence: float) -> tuple[float, Slow]:
    """The chance of such ranks were the pod like the others, and by how much it is slower."""
    mine = pl.col("pod") == pod
    sums = rows.group_by("stratum").agg(
        pl.col("of").first(),
        mine.sum().alias("mine"),
        pl.col("rank").filter(mine).sum().alias("ranks"),
        pl.col("rank").var(ddof=1).fill_null(0.0).alias("spread"),
        (pl.col("log_s").filter(mine).mean() - pl.col("log_s").filter(~mine).mean()).alias("shift"),
    )
    both = sums.filter((pl.col("mine") > 0) & (pl.col("mine") < pl.col("of"))).to_dict(as_series=False)
    of, own, ranks, spread, shift = (
        np.array(both[name], dtype=np.float64) for name in ("of", "mine", "ranks", "spread", "shift")
    )
    if len(of) == 0:
        return 1.0, Slow(pod, 1.0, 0.0, np.inf, 0)
    weight = 1.0 / (of + 1.0)
    above = float((weight * (ranks - own * (of + 1.0) / 2.0)).sum())
    # Variance of a rank sum drawn without replacement, from the ranks' own variance, so that ties count.
    deviation = float(np.sqrt((weight**2 * own * (of - own) / of * spread).sum()))
    z = above / deviation if deviation > 0 else 0.0
    even = own * (of - own) / of
    log_ratio = float((even * shift).sum() / even.sum())
    half = abs(log_ratio / z) * ndtri(confidence) if z else np.inf
    low, high = np.exp(log_ratio - half), np.exp(log_ratio + half)
    return float(ndtr(-z)), Slow(pod, float(np.exp(log_ratio)), float(low), float(high), int(own.sum()))
