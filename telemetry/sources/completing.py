"""What a table of calls leaves unsaid: the other way to write a hop, defaults, the outcome that its evidence means, ids."""

import numpy as np
import numpy.typing as npt
import polars as pl

from meshslo.telemetry.normalize.outcomes import EVIDENCE, outcomes
from meshslo.telemetry.normalize.resolve import resolve
from meshslo.telemetry.schema import COLUMNS, FRAME, IDENTITY, conform
from meshslo.telemetry.vocabulary import UNKNOWN

from .identity import Identifier
from .words import Coding, by_word, coded, constant, joined, spelled


def complete(rows: pl.DataFrame, lines: npt.NDArray[np.int64], coding: Coding, identifier: Identifier) -> pl.DataFrame:
    """Call rows: caller and callee from the hop or the other way round, defaults, outcome from its evidence, ids."""
    rows = rows.select(column for column in rows if column.null_count() < rows.height or column.name == "start")
    rows = rows.with_columns(
        side for name, place in (("caller", 0), ("callee", 1)) if (side := _end(rows, name, place, coding)) is not None
    )
    caller, callee = (_filled(rows, side, UNKNOWN, coding) for side in ("caller", "callee"))
    rows = rows.with_columns(
        joined(caller, callee, ">", coding["hop"]).alias("hop"),
        _filled(rows, "vantage", "client", coding),
        coded(_outcomes(rows), coding["outcome"]),
        (pl.col("attempt").fill_null(1) if "attempt" in rows.columns else pl.lit(1)).cast(FRAME["attempt"]).alias("attempt"),
    )
    calls = identifier.with_ids(rows, lines).select(name for name in COLUMNS if name in {*rows.columns, *IDENTITY})
    return resolve(conform(calls)) if "parent_span_id" in calls.columns else calls


def _filled(rows: pl.DataFrame, name: str, word: str, coding: Coding) -> pl.Series:
    """The column `name` with `word` where it says nothing."""
    if name not in rows.columns:
        return constant(name, word, rows.height, coding[name])
    return rows[name].fill_null(word) if rows[name].null_count() else rows[name]


def _end(rows: pl.DataFrame, side: str, place: int, coding: Coding) -> pl.Series | None:
    """The caller or the callee of each row: as given, else the one that its hop names; None where nothing names one."""
    given: pl.Series | None = rows.get_column(side, default=None)
    if "hop" not in rows.columns or (given is not None and not given.null_count()):
        return given
    ends = by_word(rows["hop"], lambda hops: hops.str.split_exact(">", 1).struct.field(f"field_{place}").str.strip_chars())
    named = coded(ends.alias(side), coding[side])
    return named if given is None else coded(spelled(given).zip_with(given.is_not_null(), spelled(named)), coding[side])


def _outcomes(rows: pl.DataFrame) -> pl.Series:
    """The outcome a row states, else what its flags, error and status mean, else `ok`."""
    if "outcome" in rows.columns and not rows["outcome"].null_count():
        return rows["outcome"]
    named = {"stated": "outcome", "failure": "error_type"} | {name: name for name in EVIDENCE if name != "failure"}
    given = rows.with_columns(
        pl.lit(None, dtype=FRAME[name]).alias(name) for name in named.values() if name not in rows.columns
    )
    return outcomes(given.select(pl.col(column).alias(name) for name, column in named.items()))
