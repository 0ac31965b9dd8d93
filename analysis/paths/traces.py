"""From call rows to traces: one row a call, each under the call that made it, all that belong to a trace under one node."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from meshslo.telemetry.normalize.graph import Flags, Rows, nearest, parents
from meshslo.telemetry.vocabulary import CENSORED, VANTAGES

from .critical import Floats, Forest

MAX_ROWS: Final = 4_000_000
"""Rows that are held at most; of more, an even share of the traces is taken."""

_READ: Final = ("trace_id", "span_id", "parent_span_id", "start", "duration_s", "vantage", "hop", "caller", "callee", "outcome")
ENTRY_KEYS: Final = ("route", "model", "tenant", "version", "zone")
"""What traces may be told apart by beside the entry hop: words of the call that each began with."""

_KEPT: Final = (*_READ, *ENTRY_KEYS, "attempt", "weight")


@dataclass(frozen=True, eq=False)
class Traces:
    """Calls of whole traces, and above them a node for each trace, which begins with its first call and ends with its last.

    calls: a row a call: hop, vantage, outcome, attempt, ... . trace: number of each call's trace. entries: a row a trace:
    hop and keys of the call it began with, weight, start, outcome. forest: the calls, then the nodes.
    left_out: calls in no chain, by reason. one_in: the share of traces that was taken, as 1 / it.
    """

    calls: pl.DataFrame
    trace: Rows
    entries: pl.DataFrame
    forest: Forest
    left_out: dict[str, int]
    one_in: int

    def __len__(self) -> int:
        return self.entries.height


def read_traces(calls: pl.LazyFrame) -> Traces:
    """The traces of `calls` (rows of `telemetry.schema`), each hop from the outermost vantage that timed it.

    A call whose parent is not there goes under the call of its trace that was running at its caller, if there is one. A trace
    begins with its first call that has no parent; its repetitions by a client outside belong to it. Other calls without a
    parent are pieces of a trace that was torn: they are left out, with what is below them.
    """
    rows, one_in, untraced = _rows(calls)
    picked = _outermost(rows)
    parent = nearest(parents(rows, inner=rows["vantage"].is_in(["server", "proxy_in"]).to_numpy()), picked)
    kept = np.flatnonzero(picked)
    number = np.full(rows.height + 1, -1)
    number[kept] = np.arange(len(kept))
    chosen, above = rows[kept], number[parent[kept]]
    above = _adopted(chosen, above)
    top = _top(above)
    roots = _roots(chosen, above)
    whole = roots[top]
    left_out = {"without a trace": untraced, "in pieces of torn traces": int((~whole).sum())}
    return _traces(chosen, above, roots, whole, {why: n for why, n in left_out.items() if n}, one_in)


def _rows(calls: pl.LazyFrame) -> tuple[pl.DataFrame, int, int]:
    traced = pl.col("trace_id").is_not_null()
    counted = calls.select(traced.sum().alias("traced"), (~traced).sum().alias("untraced")).collect(engine="streaming")
    rows, untraced = counted.row(0)
    one_in = max(1, -(-int(rows) // MAX_ROWS))
    chosen = calls.filter(traced)
    if one_in > 1:
        chosen = chosen.filter(pl.col("trace_id").hash(0) % one_in == 0)
    return chosen.select(_KEPT).collect(engine="streaming"), one_in, int(untraced)


def _outermost(rows: pl.DataFrame) -> Flags:
    """Timed rows of the outermost vantage of each hop that timed it."""
    rank = pl.col("vantage").cast(pl.Enum(VANTAGES)).to_physical()
    timed = pl.col("duration_s").is_not_nan().fill_null(value=False) & (pl.col("duration_s") >= 0.0)
    picked: Flags = rows.select(
        (timed & (rank == rank.filter(timed).min().over("hop"))).fill_null(value=False).alias("picked")
    )["picked"].to_numpy()
    return picked


def _adopted(calls: pl.DataFrame, above: Rows) -> Rows:
    """`above` with calls that have no parent put under the call of their trace during which their caller was at work.

    Of several the last begun. Only under a call of a tree that began before, so that no circle comes about.
    """
    lone = np.flatnonzero(above < 0)
    if calls["trace_id"][lone].n_unique() == len(lone):
        return above
    top = _top(above)
    begun = calls["start"].to_physical().to_numpy()
    order = np.empty(len(begun), np.int64)
    took = (calls["duration_s"].to_numpy() * 1e9).astype(np.int64)
    order[np.lexsort((np.arange(len(begun)), -took, begun))] = np.arange(len(begun))
    table = calls.select("trace_id", "caller", "callee").with_columns(
        row=pl.int_range(pl.len(), dtype=pl.Int64),
        begun=pl.Series(begun),
        ended=pl.Series(begun + took),
        tree=pl.Series(order[top]),
    )
    lost = table.filter(pl.Series(above < 0))
    lost = lost.filter(pl.len().over("trace_id") > 1)
    found = (
        lost.join(table, left_on=["trace_id", "caller"], right_on=["trace_id", "callee"], suffix="_by")
        .filter(pl.col("begun").is_between("begun_by", "ended_by"), pl.col("tree_by") < pl.col("tree"))
        .sort("row", "begun_by", "row_by", descending=[False, True, True])
        .unique("row", keep="first", maintain_order=True)
    )
    put = above.copy()
    put[found["row"].to_numpy()] = found["row_by"].to_numpy()
    return put


def _top(above: Rows) -> Rows:
    """The row without a parent above each row; itself where it has none."""
    top = nearest(above, above < 0)
    return np.where(top >= 0, top, np.arange(len(above)))


def _roots(calls: pl.DataFrame, above: Rows) -> Flags:
    """Rows a trace begins with: its first call without a parent, and those of the same hop."""
    lone = calls.select("trace_id", "hop", "start", "duration_s").with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64))
    # Of several that begin at once the longest is the one around the others.
    first = lone.filter(pl.Series(above < 0)).sort(
        "trace_id", "start", "duration_s", "row", descending=[False, False, True, False]
    )
    begins = first.filter(pl.col("hop") == pl.col("hop").first().over("trace_id"))["row"].to_numpy()
    flags = np.zeros(calls.height, dtype=bool)
    flags[begins] = True
    return flags


def _traces(calls: pl.DataFrame, above: Rows, roots: Flags, whole: Flags, left_out: dict[str, int], one_in: int) -> Traces:
    kept = np.flatnonzero(whole)
    number = np.full(calls.height + 1, -1)
    number[kept] = np.arange(len(kept))
    rows, parent = calls[kept], number[above[kept]]
    trace = rows["trace_id"].rank("dense").cast(pl.Int64).to_numpy() - 1
    rows = rows.with_columns(trace=pl.Series(trace), row=pl.int_range(pl.len(), dtype=pl.Int64))
    entries = (
        rows.filter(pl.Series(roots[kept]))
        .sort("trace", "start", "row")
        .group_by("trace", maintain_order=True)
        .agg(
            pl.col("hop", *ENTRY_KEYS, "start").first(),
            pl.col("weight").first().fill_null(1.0),
            # What the last attempt came to is what the user got.
            pl.col("outcome").last(),
        )
    )
    return Traces(
        rows.drop("trace_id", "span_id", "parent_span_id"), trace, entries, _forest(rows, parent, trace), left_out, one_in
    )


def _forest(rows: pl.DataFrame, parent: Rows, trace: Rows) -> Forest:
    """The calls, and after them a node for each trace around those that have no parent."""
    since_first = (pl.col("start") - pl.col("start").min().over("trace")).dt.total_nanoseconds()
    begin_s: Floats = rows.select(since_first.alias("ns"))["ns"].to_numpy() / 1e9
    end_s = begin_s + rows["duration_s"].to_numpy()
    roots, traces = parent < 0, int(trace.max(initial=-1)) + 1
    first, last = np.full(traces, np.inf), np.full(traces, -np.inf)
    np.minimum.at(first, trace[roots], begin_s[roots])
    np.maximum.at(last, trace[roots], end_s[roots])
    cut = rows["outcome"].is_in(sorted(CENSORED)).to_numpy()
    # A caller's side is timed where the call around it was served; a callee's side by a host of its own.
    own_clock = ~rows["vantage"].is_in(["client", "proxy_out"]).to_numpy()
    hop = rows["hop"].rank("dense").cast(pl.Int64).to_numpy()
    nodes = np.arange(len(parent), len(parent) + traces)
    return Forest(
        parent=np.append(np.where(roots, nodes[trace], parent), np.full(traces, -1)),
        begin_s=np.append(begin_s, first),
        end_s=np.append(end_s, last),
        cut=np.append(cut, np.zeros(traces, dtype=bool)),
        clock=np.append(np.where(own_clock, hop, 0), np.zeros(traces, dtype=np.int64)),
    )
