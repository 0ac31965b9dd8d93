"""Adds up counts of many groups by histogram bucket in one pass over dense integers, where a group-by keeps millions of keys.

The buckets of a group are neighbours in an array, from its lowest to its highest; the groups follow one another. Counts that
are in order of group and bucket tell both ends of each group without a look at the rows between.
"""

from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .histogram import INDEX_TYPE, UNSEEN

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Indices = NDArray[np.int16]

CELL_VALUES: Final = ("count", "weight", "weight_sq")
EDGES: Final = ("low_s", "high_s")
"""Columns of counts that come from histograms in other buckets than ours: the true edges in seconds, null for our own."""

MAX_CELLS: Final = 48_000_000
"""An array of at most so many cells is used."""


class Runs(NamedTuple):
    """Counts of groups, one after the other (index, ascending, null first; edges, if any; values), and the rows of each."""

    counts: pl.DataFrame
    rows: Ints


class Layout(NamedTuple):
    """Cells of groups: the first of each, which takes what was not seen, and their number; the bucket of the one after it."""

    first: Ints
    low: Ints

    def named(self, cells: Ints) -> tuple[Ints, Indices]:
        """Of some cells in order: how many are of each group, and the index of each, `UNSEEN` for that of no bucket."""
        edges = np.searchsorted(cells, self.first)
        lengths = np.diff(edges)
        index = cells - np.repeat(self.first[:-1] + 1 - self.low, lengths)
        # The first cell of a group.
        starts = edges[:-1][lengths > 0]
        index[starts[cells[starts] == self.first[:-1][lengths > 0]]] = UNSEEN
        return lengths, index.astype(np.int16)


def lay_out(index: Indices, rows: Ints, to: Ints, groups: int) -> tuple[Layout, Ints]:
    """Cells for `groups`, and the cell of each of the indices of runs of so many `rows`, of which the groups `to` are made."""
    there = rows > 0
    end = np.cumsum(rows)[there]
    rows, to = rows[there], to[there]
    start, last = end - rows, end - 1
    unseen = index[start] == UNSEEN
    seen = index[last] != UNSEEN
    low, high = np.full(groups, 2**15), np.full(groups, UNSEEN)
    # numpy is many times as fast where it need not convert.
    np.minimum.at(low, to[seen], index[np.minimum(start + unseen, last)][seen].astype(np.int64))
    np.maximum.at(high, to[seen], index[last][seen].astype(np.int64))
    low = np.minimum(low, high + 1)
    layout = Layout(np.concatenate([[0], np.cumsum(high - low + 2)]), low)
    cell = np.repeat(layout.first[to] + 1 - low[to], rows)
    cell += index
    cell[start[unseen]] = layout.first[to[unseen]]
    return layout, cell


def add_up(runs: Runs, to: Ints, groups: int) -> Runs:
    """The runs as those of the groups `to` that each is one of; equal places added up."""
    if not edges_in(runs.counts) and (runs.counts["count"] > 0).all():
        layout, cell = lay_out(indices(runs.counts), runs.rows, to, groups)
        if layout.first[-1] <= MAX_CELLS:
            return _added(runs.counts, layout, cell)
    group = pl.Series("group", np.repeat(to, runs.rows))
    at = ["group", *(name for name in runs.counts.columns if name not in CELL_VALUES)]
    return of_groups(runs.counts.with_columns(group).group_by(at).agg(pl.exclude(at).sum()).sort(at), groups)


def _added(counts: pl.DataFrame, layout: Layout, cell: Ints) -> Runs:
    """`counts` added up by the cell of each row."""
    sums = {name: bin_sums(cell, counts[name], int(layout.first[-1])) for name in values_in(counts)}
    used = np.flatnonzero(sums["count"] != 0)
    rows, index = layout.named(used)
    values = (pl.Series(name, sum_[used]).cast(counts.schema[name]) for name, sum_ in sums.items())
    return Runs(pl.DataFrame([as_index(index), *values]), rows)


def of_groups(counts: pl.DataFrame, groups: int) -> Runs:
    """The runs of counts that have the group of each row, in order."""
    return Runs(counts.drop("group"), np.bincount(counts["group"].to_numpy(), minlength=groups))


def move(runs: Runs, to: Ints, groups: int) -> Runs:
    """The same as `add_up` where no two runs share a place: a sort of runs, not of rows."""
    rows = np.bincount(to, weights=runs.rows, minlength=groups).astype(np.int64)
    if (to[1:] >= to[:-1]).all():
        return Runs(runs.counts, rows)
    order = np.argsort(to, kind="stable")
    lengths = runs.rows[order]
    moved = np.repeat((np.cumsum(runs.rows) - runs.rows)[order] - (np.cumsum(lengths) - lengths), lengths)
    return Runs(runs.counts[moved + np.arange(len(moved))], rows)


def bin_sums(cell: Ints, values: pl.Series, cells: int) -> Floats:
    """The sum of the values in each of `cells`; exact for counts up to 2 ** 53."""
    return np.bincount(cell, weights=values.to_numpy(), minlength=cells).astype(np.float64, copy=False)


def indices(counts: pl.DataFrame) -> Indices:
    """The buckets of rows of counts, `UNSEEN` for null."""
    return counts["index"].fill_null(UNSEEN).to_numpy()


def as_index(index: Indices) -> pl.Series:
    """The column that `indices` came from."""
    series = pl.Series("index", index, dtype=INDEX_TYPE)
    unseen = np.flatnonzero(index == UNSEEN)
    return series.scatter(unseen, None) if len(unseen) else series


def edges_in(counts: pl.DataFrame) -> list[str]:
    """Those of `EDGES` that the counts have: all or none."""
    return [edge for edge in EDGES if edge in counts.columns]


def values_in(counts: pl.DataFrame) -> list[str]:
    """Those of `CELL_VALUES` that the counts have: weights only where a call weighs other than 1."""
    return [name for name in CELL_VALUES if name in counts.columns]


def weighed(counts: pl.DataFrame) -> pl.DataFrame:
    """`counts` with weights, the same as the count where they have none."""
    missing = [pl.col("count").cast(pl.Float64).alias(name) for name in CELL_VALUES if name not in counts.columns]
    return counts.with_columns(missing)


def unweighed(counts: pl.DataFrame) -> pl.DataFrame:
    """`counts` without weights where these say the same as the count."""
    weights = [name for name in values_in(counts) if name != "count"]
    return counts.drop(weights) if all((counts[name] == counts["count"]).all() for name in weights) else counts
