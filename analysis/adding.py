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
    """Rows of counts, those of a group one after the other: `first` row of each group, and the number of rows.

    buckets: index of each row, ascending within a group, `UNSEEN` first.
    """

    buckets: Indices
    first: Ints


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


def lay_out(runs: Runs, to: Ints, groups: int) -> tuple[Layout, Ints]:
    """Cells for `groups`, and the cell of each row of `runs`, of which the groups `to` are made."""
    lengths = np.diff(runs.first)
    there = lengths > 0
    start, last, to = runs.first[:-1][there], runs.first[1:][there] - 1, to[there]
    unseen = runs.buckets[start] == UNSEEN
    seen = runs.buckets[last] != UNSEEN
    low, high = np.full(groups, 2**15), np.full(groups, UNSEEN)
    np.minimum.at(low, to[seen], runs.buckets[np.minimum(start + unseen, last)][seen])
    np.maximum.at(high, to[seen], runs.buckets[last][seen])
    low = np.minimum(low, high + 1)
    layout = Layout(np.concatenate([[0], np.cumsum(high - low + 2)]), low)
    cell = np.repeat(layout.first[to] + 1 - low[to], lengths[there])
    cell += runs.buckets
    cell[start[unseen]] = layout.first[to[unseen]]
    return layout, cell


def add_up(counts: pl.DataFrame, first: Ints, to: Ints, groups: int) -> pl.DataFrame:
    """`counts` (group, index, edges, values; in order) with the groups `to` instead; equal places added up, in order.

    `first` has the first row of each present group, and the number of rows.
    """
    if not edges_in(counts) and (counts["count"] > 0).all():
        layout, cell = lay_out(Runs(indices(counts), first), to, groups)
        if layout.first[-1] <= MAX_CELLS:
            return _from_cells(counts, layout, cell)
    at = [name for name in counts.columns if name not in CELL_VALUES]
    renamed = counts.with_columns(_repeated(to, np.diff(first)).alias("group"))
    return renamed.group_by(at).agg(pl.exclude(at).sum()).sort(at)


def _from_cells(counts: pl.DataFrame, layout: Layout, cell: Ints) -> pl.DataFrame:
    """`counts` added up by the cell of each row."""
    sums = {name: bin_sums(cell, counts[name], int(layout.first[-1])) for name in values_in(counts)}
    used = np.flatnonzero(sums["count"] != 0)
    lengths, index = layout.named(used)
    return pl.DataFrame(
        {
            "group": _repeated(np.arange(len(lengths)), lengths),
            "index": as_index(index),
            **{name: pl.Series(sum_[used]).cast(counts.schema[name]) for name, sum_ in sums.items()},
        }
    )


def move(counts: pl.DataFrame, first: Ints, to: Ints) -> pl.DataFrame:
    """`counts` with the groups `to` instead, in their order; a sort of groups, not of rows. No two may share a place."""
    lengths = np.diff(first)
    if (to[1:] >= to[:-1]).all():
        return counts.with_columns(_repeated(to, lengths).alias("group"))
    order = np.argsort(to, kind="stable")
    lengths = lengths[order]
    before = np.cumsum(lengths) - lengths
    rows = np.repeat(first[:-1][order] - before, lengths) + np.arange(counts.height)
    return counts[rows].with_columns(_repeated(to[order], lengths).alias("group"))


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


def _repeated(groups: Ints, lengths: Ints) -> pl.Series:
    return pl.Series("group", np.repeat(groups.astype(np.uint32), lengths))
