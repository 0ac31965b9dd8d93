"""Some of many life tables: runs of groups that a processor's cache holds, so that no pass goes over all of the memory."""

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .lifetables import LifeTables

BLOCK_ROWS: Final = 50_000

_BY_ROW: Final = ("index", "events", "censored", "event_counts", "censored_counts", "low_s", "high_s")
_BY_GROUP: Final = ("weight_sq", "longest_s")


def blocks(tables: "LifeTables", rows: int | None = None) -> "list[LifeTables]":
    """`tables` in parts of about `rows` rows each, whole groups in order; none where they are too few to be parted."""
    rows = rows or BLOCK_ROWS
    if len(tables.index) <= 2 * rows:
        return []
    cuts = np.searchsorted(tables.offsets, np.arange(rows, len(tables.index), rows))
    bounds = np.unique(np.concatenate([[0], cuts, [len(tables)]]))
    return [_part(tables, int(first), int(end)) for first, end in pairwise(bounds)] if len(bounds) > 2 else []


def chosen(tables: "LifeTables", groups: NDArray[np.bool_]) -> "LifeTables":
    """The tables of the groups that are marked."""
    if groups.all():
        return tables
    offsets = np.concatenate([[0], np.cumsum(tables.lengths[groups])])
    return _of(tables, groups, np.repeat(groups, tables.lengths), offsets)


def _part(tables: "LifeTables", first: int, end: int) -> "LifeTables":
    """The tables of groups `first` to `end`."""
    offsets = tables.offsets[first : end + 1]
    return _of(tables, slice(first, end), slice(int(offsets[0]), int(offsets[-1])), offsets - offsets[0])


def _of(tables: "LifeTables", groups: Any, rows: Any, offsets: NDArray[np.int64]) -> "LifeTables":
    changed: dict[str, Any] = {"offsets": offsets}
    changed |= {name: getattr(tables, name)[groups] for name in _BY_GROUP}
    changed |= {name: getattr(tables, name)[rows] for name in _BY_ROW if getattr(tables, name) is not None}
    return replace(tables, **changed)
