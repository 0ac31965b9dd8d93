"""Who is whose parent, by row number: the spans of a frame as a forest that is walked for all rows at once."""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

Rows = npt.NDArray[np.int64]
"""Row numbers, one per row of the frame; -1 is none."""
Flags = npt.NDArray[np.bool_]

_DOUBLINGS: Final = 32
"""Pointer doublings that reach the top of any chain shorter than 2**32; what still walks then is a cycle."""


def parents(frame: pl.DataFrame, *, inner: Flags) -> Rows:
    """Row of each row's parent by (trace_id, parent_span_id); -1 where it has none or the frame does not hold it.

    Both sides of a call may share one span id (Zipkin): of two rows with an id, `inner` marks the callee's; it is the child of
    the other, and children of the id are its own.
    """
    ids = frame.select("trace_id", "span_id", "parent_span_id").with_columns(
        row=pl.int_range(pl.len(), dtype=pl.Int64), inner=pl.Series(inner, dtype=pl.Boolean)
    )
    if ids["span_id"].n_unique() == ids.height:
        parent = _found_alone(ids)
    elif ids.select("trace_id", "span_id").is_unique().all():
        parent = _lookup(ids, ids, "parent_span_id")
    else:
        by_id = ids.sort("inner", descending=True, maintain_order=True).unique(["trace_id", "span_id"], keep="first")
        twins = ids.filter(~pl.col("inner")).unique(["trace_id", "span_id"], keep="first")
        twin = _lookup(ids, twins, "span_id")
        parent = np.where(inner & (twin >= 0), twin, _lookup(ids, by_id, "parent_span_id"))
    return np.where(parent == np.arange(len(parent)), -1, parent)


def _found_alone(ids: pl.DataFrame) -> Rows:
    """As `_lookup` of the parents among rows whose span ids all differ, as random ones do: at half the cost."""
    by_id = ids.select(parent_span_id="span_id", found="row")
    found = ids.select("parent_span_id").join(by_id, on="parent_span_id", how="left", maintain_order="left")["found"]
    same_trace = ids["trace_id"].gather(found) == ids["trace_id"]
    return pl.select(pl.when(same_trace).then(found).otherwise(-1).alias("found"))["found"].to_numpy()


def _lookup(ids: pl.DataFrame, table: pl.DataFrame, key: str) -> Rows:
    found = ids.join(
        table.select("trace_id", found_id="span_id", found="row"),
        left_on=["trace_id", key],
        right_on=["trace_id", "found_id"],
        how="left",
        maintain_order="left",
    )["found"]
    return found.fill_null(-1).to_numpy()


def nearest(parent: Rows, stop: Flags) -> Rows:
    """Row of each row's nearest proper ancestor that `stop` marks; -1 where there is none (a cycle counts as none)."""
    none = len(parent)
    up = np.append(np.where(parent < 0, none, parent), none)
    stops = np.append(stop, True)
    jump = np.where(stops, np.arange(none + 1), up)
    for _ in range(_DOUBLINGS):
        further = jump[jump]
        if np.array_equal(further, jump):
            break
        jump = further
    found = jump[up[:-1]]
    return np.where((found == none) | ~stops[found], -1, found)


def flagged(flags: Flags, rows: Rows) -> Flags:
    """flags[rows], False where the row is -1."""
    found: Flags = (rows >= 0) & np.append(flags, False)[rows]
    return found


def follow(rows: Rows, at: Rows) -> Rows:
    """rows[at], -1 where `at` is -1."""
    return np.where(at >= 0, np.append(rows, -1)[at], -1)


def take(series: pl.Series, rows: Rows) -> pl.Series:
    """series[rows], null where the row is -1."""
    place = pl.Series(rows, dtype=pl.Int64)
    return series.gather(place.set(place < 0, None))


def of_rows(frame: pl.DataFrame, rows: Rows) -> pl.DataFrame:
    """The rows of `frame` that `rows` names, ascending and each once; the frame itself where that is all of them."""
    return frame if len(rows) == frame.height else frame[rows]


def marked(rows: Rows, height: int) -> Flags:
    """Which of `height` rows are named in `rows`."""
    flags = np.zeros(height, dtype=np.bool_)
    flags[rows[rows >= 0]] = True
    return flags
