"""Keeps the number of groups bounded: past a limit the routes, tenants or models with the fewest calls are counted together."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from meshslo.telemetry.vocabulary import OTHER

from .folding import Rollup


@dataclass(frozen=True)
class Folded:
    """Of one key: how many values were folded into `__other__`, and the calls that they are."""

    key: str
    values: int
    calls: int


def fold_tail(rollup: Rollup, limits: Mapping[str, int]) -> tuple[Rollup, tuple[Folded, ...]]:
    """`rollup` with at most `limits[key]` values of each key kept, those with the most calls; and what was folded.

    Calls without a value stay without one; of values with equally many calls the first in the alphabet stay.
    """
    report: list[Folded] = []
    for key, limit in limits.items():
        if key in rollup.keys:
            rollup, fold = _fold_key(rollup, key, limit)
            report += [fold] if fold.values else []
    return rollup, tuple(report)


def _fold_key(rollup: Rollup, key: str, limit: int) -> tuple[Rollup, Folded]:
    one_phase = rollup.totals.filter(pl.col("phase") == pl.col("phase").first(), pl.col(key).is_not_null())
    by_size = one_phase.group_by(key).agg(pl.col("count").sum()).sort("count", key, descending=[True, False])
    tail = by_size.slice(limit)
    if tail.is_empty():
        return rollup, Folded(key, 0, 0)
    named = pl.when(pl.col(key).is_in(tail[key].to_list())).then(pl.lit(OTHER)).otherwise(pl.col(key)).alias(key)
    return rollup.renamed(rollup.totals.with_columns(named)), Folded(key, tail.height, int(tail["count"].sum()))
