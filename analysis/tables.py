"""From a rollup to the life tables of all its groups."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.telemetry.vocabulary import Phase

from .lifetables import LifeTables
from .phases import measured
from .rollup import Rollup

_IN_ESTIMATE = pl.col("event") | pl.col("censored")


def group_keys(rollup: Rollup) -> list[str]:
    """Columns that tell the groups of a rollup apart: its time bucket where it has any, the vantage, the keys."""
    return ["vantage", *rollup.keys] if rollup.bucket is None else ["start", "vantage", *rollup.keys]


def life_tables(rollup: Rollup, phase: Phase) -> tuple[pl.DataFrame, LifeTables]:
    """The groups of `rollup` that have calls, in order of their keys, and the life table of `phase` of each.

    A group without a call in the estimate (all failed, or the phase is not measured there) has an empty table.
    """
    keys = group_keys(rollup)
    cells = rollup.cells.filter(pl.col("phase") == phase)
    groups = cells.select(keys).unique().sort(keys).with_row_index("group")
    rows = (
        measured(cells, keys)
        .filter(_IN_ESTIMATE)
        .join(groups, on=keys, nulls_equal=True)
        .group_by("group", "index")
        .agg(
            pl.col("weight").filter(pl.col("event")).sum().alias("events"),
            pl.col("weight").filter(pl.col("censored")).sum().alias("censored"),
            pl.col("count", "weight_sq").sum(),
        )
        .sort("group", "index")
    )
    return groups.drop("group"), _tables(rows, _longest_s(rollup, phase, groups), rollup.scale)


def _longest_s(rollup: Rollup, phase: Phase, groups: pl.DataFrame) -> NDArray[np.float64]:
    keys = groups.columns[1:]
    longest = rollup.totals.filter(_IN_ESTIMATE & (pl.col("phase") == phase)).group_by(keys).agg(pl.col("max_s").max())
    joined = groups.join(longest, on=keys, how="left", nulls_equal=True, maintain_order="left")
    return joined["max_s"].fill_null(0.0).to_numpy()


def _tables(rows: pl.DataFrame, longest_s: NDArray[np.float64], scale: int) -> LifeTables:
    number = len(longest_s)
    group = rows["group"].to_numpy().astype(np.int64)

    def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(group, weights=values, minlength=number).astype(np.float64)

    events, censored = rows["events"].to_numpy(), rows["censored"].to_numpy()
    weight, weight_sq = total(events + censored), total(rows["weight_sq"].to_numpy())
    return LifeTables(
        offsets=np.concatenate([[0], np.cumsum(np.bincount(group, minlength=number))]),
        index=rows["index"].to_numpy().astype(np.int64),
        events=events,
        censored=censored,
        calls=total(rows["count"].to_numpy().astype(np.float64)).astype(np.int64),
        effective=np.divide(weight**2, weight_sq, out=np.zeros(number), where=weight_sq > 0),
        longest_s=longest_s,
        scale=scale,
    )
