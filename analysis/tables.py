"""From a rollup to the life tables of all its groups."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.telemetry.vocabulary import Phase

from .adding import MAX_CELLS, Indices, Ints, bin_sums, edges_in, indices, lay_out, values_in, weighed
from .folding import Rollup
from .groups import numbered
from .lifetables import LifeTables
from .phases import measured


def group_keys(rollup: Rollup) -> list[str]:
    """Columns that tell the groups of a rollup apart: its time bucket where it has any, the vantage, the keys."""
    return ["vantage", *rollup.keys] if rollup.bucket is None else ["start", "vantage", *rollup.keys]


def life_tables(rollup: Rollup, phase: Phase) -> tuple[pl.DataFrame, LifeTables]:
    """The groups of `rollup` that have calls, in order of their keys, and the life table of `phase` of each.

    A group without a call in the estimate (all failed, or the phase is not measured there) has an empty table.
    """
    parts = rollup.totals.with_row_index("part").filter(pl.col("phase") == phase)
    keys = parts.select(group_keys(rollup))
    rows, number = numbered(keys)
    parts = parts.select(pl.Series("table", number), "part", "outcome", "event", "censored", "weight_sq", "max_s")
    used = measured(parts, ["table"])
    part = used["part"].to_numpy()
    kept = np.zeros(rollup.totals.height, dtype=bool)
    kept[part] = True
    lengths = rollup.runs.rows
    counts = rollup.counts if kept.all() else rollup.counts.filter(pl.Series(np.repeat(kept, lengths)))
    built = _build_dense if _fits(counts, len(rows)) else _build_sorted
    return keys[rows], built(counts, used.with_columns(pl.Series("rows", lengths[part])), len(rows), rollup.scale)


def _fits(counts: pl.DataFrame, tables: int) -> bool:
    """Whether all buckets are ours, and an array of those of all tables is not too large."""
    if edges_in(counts) or counts.is_empty():
        return False
    low, high = counts.select(low=pl.col("index").min(), high=pl.col("index").max()).row(0)
    return bool(2 * tables * (high - low + 2) <= MAX_CELLS)


def _build_sorted(counts: pl.DataFrame, parts: pl.DataFrame, tables: int, scale: int) -> LifeTables:
    """`build` of parts of tables (table, event, rows, max_s), whose rows follow one another in `counts`."""
    of_row = parts.select("table", "event")[np.repeat(np.arange(parts.height), parts["rows"].to_numpy())]
    rows = weighed(counts).with_columns(of_row["table"].alias("group"), of_row["event"])
    return build(rows, _longest_s(parts, tables), scale)


def _build_dense(counts: pl.DataFrame, parts: pl.DataFrame, tables: int, scale: int) -> LifeTables:
    """The same without a sort, where all buckets are ours."""
    to = parts["table"].to_numpy()
    # Where nothing is cut and a table is of one part, its rows are there as they are wanted.
    ready = parts["event"].all() and bool((np.diff(to) > 0).all())
    lengths, index, sums = (_rows if ready else _added_rows)(counts, parts, tables)
    events, censored = sums.get("weight", sums["count"])
    event_counts, censored_counts = sums["count"]
    return _with_longest(
        LifeTables(
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
            index=index.astype(np.int64),
            events=events.astype(np.float64, copy=False),
            censored=censored.astype(np.float64, copy=False),
            event_counts=event_counts.astype(np.int64),
            censored_counts=censored_counts.astype(np.int64),
            weight_sq=np.bincount(to, weights=parts["weight_sq"].to_numpy(), minlength=tables).astype(np.float64),
            longest_s=_longest_s(parts, tables),
            scale=scale,
        )
    )


_Rows = tuple[Ints, Indices, Mapping[str, tuple[NDArray[Any], NDArray[Any]]]]
"""How many rows each table has; their buckets; their values, of events and of what was cut."""


def _rows(counts: pl.DataFrame, parts: pl.DataFrame, tables: int) -> _Rows:
    lengths = np.zeros(tables, np.int64)
    lengths[parts["table"].to_numpy()] = parts["rows"].to_numpy()
    none = np.zeros(counts.height)
    return lengths, indices(counts), {name: (counts[name].to_numpy(), none) for name in values_in(counts)}


def _added_rows(counts: pl.DataFrame, parts: pl.DataFrame, tables: int) -> _Rows:
    """In one pass over an array of the buckets of each table."""
    to, lengths = parts["table"].to_numpy(), parts["rows"].to_numpy()
    layout, cell = lay_out(indices(counts), lengths, to, tables)
    cells = int(layout.first[-1])
    # Events, then as many cells for what was cut.
    cell += np.repeat(np.where(parts["event"].to_numpy(), 0, cells), lengths)
    added = {name: np.split(bin_sums(cell, counts[name], 2 * cells), 2) for name in values_in(counts)}
    used = np.flatnonzero(np.logical_or.reduce([values != 0.0 for both in added.values() for values in both]))
    lengths, index = layout.named(used)
    return lengths, index, {name: (events[used], cut[used]) for name, (events, cut) in added.items()}


def _longest_s(parts: pl.DataFrame, tables: int) -> NDArray[np.float64]:
    """The longest duration of each table, NaN where none is known."""
    known = parts.drop_nulls("max_s").group_by("table").agg(pl.col("max_s").max())
    longest_s = np.full(tables, np.nan)
    longest_s[known["table"].to_numpy()] = known["max_s"].to_numpy()
    return longest_s


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
    return _with_longest(tables)


def _with_longest(tables: LifeTables) -> LifeTables:
    """`tables` with the upper edge of the last bucket where no longest duration is known."""
    unknown = np.isnan(tables.longest_s)
    if not unknown.any():
        return tables
    last = np.where(np.diff(tables.offsets) > 0, tables.offsets[1:] - 1, -1)
    return replace(tables, longest_s=np.where(unknown, np.nan_to_num(tables.high_of(last)), tables.longest_s))


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
