"""Client spans inside a client span, server spans inside a server span: one call seen by several layers of one service.

A GenAI client's span wraps an HTTP client's; a framework's server span wraps an inference server's. They are one row:

* one innermost span: the outermost span gives identity and start, and every column it has; what it lacks comes from inside;
* several innermost client spans to one peer, one after the other, of which all but the last failed: attempts of one operation,
  a row each. They share the outermost span's model, tenant and the like; the last attempt takes its end, chunks, tokens and id;
* several innermost client spans otherwise: the outer span is a frame around calls, and no call;
* several innermost server spans: the outermost one is the call.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from .columns import IDENTITY
from .graph import Flags, Rows, flagged, follow, marked, nearest, of_rows, take
from .roles import Roles
from .spans import FAILED

_DEEPEST: Final = 16
"""Layers of one service around a call; more are a recursion, of which the outer ones stay as they are."""


@dataclass(frozen=True)
class Nests:
    """How the SDK spans of a frame make rows."""

    above: Rows
    """The span around each nested span, in the same nest; -1 for those that are not nested."""
    root: Rows
    """The outermost span of each span's nest; itself where there is no nest."""
    leaf: Rows
    """The innermost spans that make a row, one each."""
    keeper: Rows
    """For each of `leaf`, the span whose id the row has."""
    attempt: Rows
    """For each of `leaf`, its place among the attempts of its nest, from 1."""
    frames: Flags
    """Spans around several calls."""

    def last(self) -> Flags:
        """Which of `leaf` speak for the whole nest."""
        return np.equal(self.keeper, self.root[self.leaf])

    def stands_for(self, height: int) -> Rows:
        """For each span, the span whose id the row has that it went into."""
        stands = np.where(marked(self.root, height), np.arange(height), self.root)
        stands = np.where(self.above >= 0, self.root, stands)
        stands[self.leaf] = self.keeper
        return stands


def find(roles: Roles) -> Nests:
    """The nests among the SDK spans of a frame."""
    height = roles.spans.height
    frames = np.zeros(height, dtype=np.bool_)
    above = _above(roles, frames)
    while (composite := _composites(roles, above)).any():
        frames |= composite
        above = _above(roles, frames)
    root = _root(above)
    inside = (roles.client | roles.server) & ~frames & ~marked(above, height)
    leaves = np.flatnonzero(inside)
    return _with_rows(roles, above, root, leaves, frames)


def _with_rows(roles: Roles, above: Rows, root: Rows, leaves: Rows, frames: Flags) -> Nests:
    """The nests with their rows: which leaves stand, under whose id, as which attempt."""
    nest, server = root[leaves], roles.server[leaves]
    size = np.bincount(nest, minlength=len(root))[nest]
    many_servers = server & (size > 1)
    attempt = _attempts(roles, leaves, nest, several=~server & (size > 1))
    keeper = np.where(many_servers | (attempt == size), nest, leaves)
    leaf, first = np.unique(np.where(many_servers, nest, leaves), return_index=True)
    return Nests(above, root, leaf, keeper[first], attempt[first], frames)


def _attempts(roles: Roles, leaves: Rows, nest: Rows, *, several: Flags) -> Rows:
    """The place of each leaf among those of its nest, by when they began; 1 where there are not `several`."""
    attempt = np.ones(len(leaves), dtype=np.int64)
    begun = pl.DataFrame({"nest": nest[several], "begin": take(roles.spans["start_ns"], leaves[several])})
    attempt[several] = begun.select(place=pl.col("begin").rank("ordinal").over("nest"))["place"].to_numpy()
    return attempt


def _above(roles: Roles, frames: Flags) -> Rows:
    """The span directly around each nested span."""
    call = nearest(roles.parent, roles.any_call & ~frames) if frames.any() else roles.call
    service = roles.spans["service"]
    same = service.eq_missing(take(service, call)).to_numpy() & (call >= 0)
    both_client = roles.client & flagged(roles.client, call)
    both_server = roles.server & flagged(roles.server, call)
    return np.where(same & (both_client | both_server) & ~frames, call, -1)


def _root(above: Rows) -> Rows:
    found = nearest(above, above < 0)
    return np.where(found < 0, np.arange(len(above)), found)


def _composites(roles: Roles, above: Rows) -> Flags:
    """Roots of client nests whose innermost spans are no attempts of one call.

    They go to different peers, do different things, overlap, or one went well and still was not the last.
    """
    height = roles.spans.height
    leaves = np.flatnonzero((above >= 0) & roles.client & ~marked(above, height))
    if not len(leaves):
        return np.zeros(height, dtype=np.bool_)
    table = pl.DataFrame({"row": leaves, "root": _root(above)[leaves]})
    table = table.with_columns(take(roles.spans[name], leaves) for name in ("peer", "operation", "start_ns", "end_ns"))
    table = table.with_columns(take(roles.spans.select(failed=_FAILED)["failed"], leaves))
    table = table.sort("root", "start_ns").with_columns(before=pl.col("end_ns").cum_max().shift(1).over("root"))
    split = table.group_by("root").agg(
        differ=(pl.col("peer").n_unique() > 1) | (pl.col("operation").n_unique() > 1),
        overlap=(pl.col("start_ns") < pl.col("before")).any(),
        settled=~pl.col("failed").slice(0, pl.len() - 1).all(),
    )
    return marked(split.filter(pl.col("differ") | pl.col("overlap") | pl.col("settled"))["root"].to_numpy(), height)


_FAILED: Final = (
    (pl.col("status") == FAILED)
    | pl.col("error_type").is_not_null()
    | (pl.col("status_code") >= 400).fill_null(False)
    | (pl.col("outcome") != "ok").fill_null(False)
)


def fold(measured: pl.DataFrame, nests: Nests) -> pl.DataFrame:
    """One row a leaf: `measured` of the leaf, completed by the spans around it (the outer one's word counts)."""
    rows = of_rows(measured, nests.leaf)
    marks = pl.DataFrame({"last": nests.last(), "alone": nests.last() & (nests.attempt == 1)})
    up = nests.above[nests.leaf]
    for _ in range(_DEEPEST):
        if not (up >= 0).any():
            break
        outer = pl.DataFrame([take(column, up) for column in measured]).select(pl.all().name.suffix("_outer"))
        rows = pl.concat([rows, outer, marks], how="horizontal").select(_fold(name) for name in measured.columns)
        up = follow(nests.above, up)
    attempt = pl.Series("order", nests.attempt).cast(pl.UInt8, strict=False)
    return rows.with_columns(attempt=pl.max_horizontal("attempt", attempt))


def _fold(name: str) -> pl.Expr:
    outer, inner = pl.col(f"{name}_outer"), pl.col(name)
    if name in IDENTITY:
        return pl.coalesce(outer, inner).alias(name)
    if name == "attempt":
        return pl.max_horizontal(outer, inner).alias(name)
    if name == "begin":
        return pl.when("alone").then(pl.coalesce(outer, inner)).otherwise(inner).alias(name)
    if name == "failure":
        # A span that ended at headers knows nothing of the body: its silence is no success.
        sure = pl.col("end_outer").is_not_null()
        return pl.when(pl.col("last") & sure).then(outer).otherwise(inner).alias(name)
    return pl.when("last").then(pl.coalesce(outer, inner)).otherwise(inner).alias(name)
