"""From a rollup to the life tables of all its groups."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.telemetry.vocabulary import Phase

from .folding import Rollup, edges_in
from .lifetables import LifeTables
from .phases import measured


def group_keys(rollup: Rollup) -> list[str]:
    """Columns that tell the groups of a rollup apart: its time bucket where it has any, the vantage, the keys."""
    return ["vantage", *rollup.keys] if rollup.bucket is None else ["start", "vantage", *rollup.keys]


def life_tables(rollup: Rollup, phase: Phase) -> tuple[pl.DataFrame, LifeTables]:
    """The groups of `rollup` that have calls, in order of their keys, and the life table of `phase` of each.

    A group without a call in the estimate (all failed, or the phase is not measured there) has an empty table.
    """
    keys = group_keys(rollup)
    parts = rollup.totals.with_row_index("part").filter(pl.col("phase") == phase)
    groups = parts.select(keys).unique().sort(keys).with_row_index("group")
    used = measured(parts, keys).join(groups, on=keys, nulls_equal=True).select("part", "group", "event", "max_s")
    table = np.full(rollup.totals.height, -1, np.int64)
    table[used["part"].to_numpy()] = used["group"].to_numpy()
    event = np.zeros(rollup.totals.height, dtype=bool)
    event[used["part"].to_numpy()] = used["event"].to_numpy()
    part = rollup.counts["group"].to_numpy()
    rows = rollup.counts.drop("group").with_columns(pl.Series("group", table[part]), pl.Series("event", event[part]))
    longest = used.group_by("group").agg(pl.col("max_s").max())
    longest_s = np.full(groups.height, np.nan)
    longest_s[longest["group"].to_numpy()] = longest["max_s"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    unused = len(used) < rollup.totals.height
    return groups.drop("group"), build(rows.filter(pl.col("group") >= 0) if unused else rows, longest_s, rollup.scale)


def build(rows: pl.DataFrame, longest_s: NDArray[np.float64], scale: int) -> LifeTables:
    """The life tables of `rows`: group (from 0), index, `EDGES` if any, event (else censored), count, weight, weight_sq.

    `longest_s` has the longest duration of each group, NaN where only the buckets tell it: then it is the edge of the last.
    """
    ordered = _ordered(rows)
    starts = _starts(ordered)
    apart = len(starts) == ordered.height
    event = ordered["event"].to_numpy()
    whole = bool(event.all())
    count, weight = ordered["count"].to_numpy().astype(np.int64), ordered["weight"].to_numpy()

    def first(name: str) -> NDArray[Any]:
        values = ordered[name].to_numpy()
        return values if apart else values[starts]

    def total(values: NDArray[Any]) -> NDArray[Any]:
        return values if apart else np.add.reduceat(values, starts)

    group = first("group")
    number = len(longest_s)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=number))])
    tables = LifeTables(
        offsets=offsets,
        index=first("index").astype(np.int64),
        events=total(weight if whole else weight * event),
        censored=np.zeros(len(starts)) if whole else total(weight * ~event),
        event_counts=total(count if whole else count * event),
        censored_counts=np.zeros(len(starts), np.int64) if whole else total(count * ~event),
        weight_sq=np.bincount(group, weights=total(ordered["weight_sq"].to_numpy()), minlength=number).astype(np.float64),
        longest_s=longest_s,
        scale=scale,
        **{edge: first(edge).astype(np.float64) for edge in edges_in(ordered)},
    )
    last = np.where(np.diff(offsets) > 0, offsets[1:] - 1, -1)
    return replace(tables, longest_s=np.where(np.isnan(longest_s), np.nan_to_num(tables.high[last]), longest_s))


def one(tables: LifeTables, group: int) -> LifeTables:
    """The life table of one group, alone."""
    rows = slice(int(tables.offsets[group]), int(tables.offsets[group + 1]))
    return LifeTables(
        offsets=np.array([0, rows.stop - rows.start]),
        index=tables.index[rows],
        events=tables.events[rows],
        censored=tables.censored[rows],
        event_counts=tables.event_counts[rows],
        censored_counts=tables.censored_counts[rows],
        weight_sq=tables.weight_sq[group : group + 1],
        longest_s=tables.longest_s[group : group + 1],
        scale=tables.scale,
        low_s=None if tables.low_s is None else tables.low_s[rows],
        high_s=None if tables.high_s is None else tables.high_s[rows],
    )


def _ordered(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows by group and bucket; at one edge of a metric, what is longer than it comes after what ended by it."""
    if edges_in(rows):
        return rows.sort("group", "index", *edges_in(rows), nulls_last=True)
    packed = rows["group"].to_numpy().astype(np.int64) * 2**16 + rows["index"].to_numpy()
    if (packed[1:] >= packed[:-1]).all():
        return rows
    # The counts come in sorted runs (a group's outcomes one after the other), which this sort makes use of.
    return rows[np.argsort(packed, kind="stable")]


def _starts(ordered: pl.DataFrame) -> NDArray[np.int64]:
    """The first row of each run of equal group and bucket."""
    if not edges_in(ordered):
        group, index = ordered["group"].to_numpy(), ordered["index"].to_numpy()
        again = (group[1:] == group[:-1]) & (index[1:] == index[:-1])
        return np.flatnonzero(np.concatenate([np.ones(min(len(group), 1), dtype=bool), ~again]))
    changed = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(name).shift()) for name in ("group", "index", *edges_in(ordered))
    )
    first = ordered.select(changed.alias("first"))["first"].to_numpy().copy()
    first[:1] = True
    return np.flatnonzero(first)
