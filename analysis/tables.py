"""From a rollup to the life tables of all its groups."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.telemetry.vocabulary import Phase

from .lifetables import LifeTables
from .phases import measured
from .rollup import Rollup, edges_in

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
    placed = cells.join(groups, on=keys, nulls_equal=True)
    return groups.drop("group"), build(placed, _longest_s(rollup, phase, groups), rollup.scale)


def build(cells: pl.DataFrame, longest_s: NDArray[np.float64], scale: int) -> LifeTables:
    """The life tables of cells of one phase whose column `group` counts from 0; `longest_s` has one duration a group."""
    event, censored = pl.col("event"), pl.col("censored")
    rows = (
        measured(cells, ["group"])
        .filter(_IN_ESTIMATE)
        .group_by("group", "index", *edges_in(cells))
        .agg(
            pl.col("weight").filter(event).sum().alias("events"),
            pl.col("weight").filter(censored).sum().alias("censored"),
            pl.col("count").filter(event).sum().cast(pl.Int64).alias("event_counts"),
            pl.col("count").filter(censored).sum().cast(pl.Int64).alias("censored_counts"),
            pl.col("weight_sq").sum(),
        )
        # At one edge of a metric, what is known to be longer than it comes after what ended by it.
        .sort("group", "index", *edges_in(cells), nulls_last=True)
    )
    number = len(longest_s)
    group = rows["group"].to_numpy().astype(np.int64)
    return LifeTables(
        offsets=np.concatenate([[0], np.cumsum(np.bincount(group, minlength=number))]),
        index=rows["index"].to_numpy().astype(np.int64),
        events=rows["events"].to_numpy(),
        censored=rows["censored"].to_numpy(),
        event_counts=rows["event_counts"].to_numpy(),
        censored_counts=rows["censored_counts"].to_numpy(),
        weight_sq=np.bincount(group, weights=rows["weight_sq"].to_numpy(), minlength=number).astype(np.float64),
        longest_s=longest_s,
        scale=scale,
        **{edge: rows[edge].fill_null(float("nan")).to_numpy() for edge in edges_in(cells)},
    )


def _longest_s(rollup: Rollup, phase: Phase, groups: pl.DataFrame) -> NDArray[np.float64]:
    keys = groups.columns[1:]
    longest = rollup.totals.filter(_IN_ESTIMATE & (pl.col("phase") == phase)).group_by(keys).agg(pl.col("max_s").max())
    joined = groups.join(longest, on=keys, how="left", nulls_equal=True, maintain_order="left")
    return joined["max_s"].fill_null(0.0).to_numpy()
