"""Calls that are already a table in memory: the way in for notebooks and programs, with the rules of calls files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from meshslo.telemetry.errors import BadInputError

from .call_table import CallTable
from .column_map import ColumnMap
from .tally import BadLine, Tally

if TYPE_CHECKING:
    from meshslo.telemetry.store import Appended


@dataclass(frozen=True)
class Framed:
    """The call rows of a table (as `schema.fit` has them), and what was refused; a row's line is its number, from 1."""

    calls: pl.DataFrame
    tally: Tally


@dataclass(frozen=True)
class Added:
    """What adding a table did: rows new to the store, rows it already had, rows refused and why (the first few)."""

    rows: int
    duplicates: int
    refused: int
    reasons: tuple[BadLine, ...]


def calls_of_frame(frame: Any, columns: ColumnMap | None = None, *, name: str = "the frame") -> Framed:
    """The call rows of a Polars or pandas frame (or anything else that Polars makes a frame of).

    Columns as in a calls file, with their own types or as text. Equal frames give rows with equal ids, so that adding one twice
    counts once. BadInputError names unknown columns, a missing one, or a thing that is no table.
    """
    try:
        table = frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(frame)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise BadInputError(f"{name} is no table of calls: {error}") from error
    tally = Tally(name)
    reader = CallTable(columns or ColumnMap(), tally)
    targets = reader.check(table.columns)
    return Framed(reader.read(table.select(list(targets)), targets, np.arange(1, table.height + 1)), tally)


def add_frame(append: "Callable[[pl.DataFrame], Appended]", frame: Any) -> Added:
    """Append the call rows of a frame, as `calls_of_frame` reads it, to a store."""
    framed = calls_of_frame(frame)
    appended = append(framed.calls)
    return Added(appended.rows, appended.duplicates, framed.tally.bad, tuple(framed.tally.reasons))
