"""What each phase of a call is worth to an estimate: its duration, and whether that is an event, a lower bound or neither.

phase        event                                 censored (longer than seen)           neither
total        outcome ok                            timeout, cancelled                    error, rejected
first_byte   seen, whatever the outcome later      not seen and cut: at its duration     not seen, not cut
first_token  the same, of streams only             the same                              the same, and no stream
max_gap      outcome ok                            cut: the longest gap, the open one    error, rejected
                                                   at the cut among them

An answer that is no stream comes whole: its first token is its last one, and would make streams look as slow as whole answers.
A call of which nobody tells whether it streams counts as a stream once its first token was seen.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import polars as pl

from meshslo.telemetry.vocabulary import CENSORED, PHASE_COLUMNS, Phase


class Timed(NamedTuple):
    """Expressions over call rows: `value_s` (null where the phase was not seen), `event` and `censored`, never null."""

    value_s: pl.Expr
    event: pl.Expr
    censored: pl.Expr


class Endings(NamedTuple):
    """Expressions over call rows that tell from their words: ended `ok`, was cut, is told to stream, or not to. Never null."""

    ok: pl.Expr
    cut: pl.Expr
    streaming: pl.Expr
    whole: pl.Expr


BY_WORDS: Final = Endings(
    ok=pl.col("outcome") == "ok",
    cut=pl.col("outcome").is_in(sorted(CENSORED)),
    streaming=pl.col("streaming").fill_null(value=False),
    whole=~pl.col("streaming").fill_null(value=True),
)
"""Of rows that have these words."""

_WHOLE: Final = frozenset({"total", "max_gap"})
"""Phases that only a call that ended by itself shows whole; the others are moments within a call."""


def follows_from_outcome(phase: Phase) -> bool:
    """Whether the outcome, and that the phase was seen, say how a call enters the estimate: see `ending`."""
    return phase in _WHOLE


def ending(seen: pl.Expr, told: Endings = BY_WORDS) -> tuple[pl.Expr, pl.Expr]:
    """`event` and `censored` of a phase that follows from the outcome, given whether it was seen."""
    return seen & told.ok, seen & told.cut


def timed(phase: Phase, told: Endings = BY_WORDS) -> Timed:
    """How `phase` of a call enters an estimate."""
    column = pl.col(PHASE_COLUMNS[phase]).fill_nan(None)
    if phase == "total":
        return _to_the_end(column, told)
    if phase == "max_gap":
        longest = pl.max_horizontal(column, pl.col("open_gap_s").fill_nan(None))
        return _to_the_end(pl.when(told.cut).then(longest).otherwise(column), told)
    if phase == "first_token":
        return _on_the_way(column, told.streaming | (~told.whole & pl.col("first_token_s").is_not_null()), told.cut)
    return _on_the_way(column, pl.lit(value=True), told.cut)


def _to_the_end(value_s: pl.Expr, told: Endings) -> Timed:
    """A phase that only a call that ended by itself shows whole."""
    return Timed(value_s, *ending(value_s.is_not_null(), told))


def _on_the_way(value_s: pl.Expr, counts: pl.Expr, cut: pl.Expr) -> Timed:
    """A moment within the call: once seen it is known, whatever came later."""
    seen = value_s.is_not_null() & counts
    duration_s = pl.col("duration_s").fill_nan(None)
    cut_before = value_s.is_null() & counts & cut & duration_s.is_not_null()
    return Timed(pl.when(seen).then(value_s).when(cut_before).then(duration_s), seen, cut_before)


def measured(cells: pl.DataFrame, group: Sequence[str]) -> pl.DataFrame:
    """The rows of `cells` (event, censored and outcome among their columns) that enter an estimate, by `group`.

    A caller's SDK that does not record response headers shows none for the calls it cut either; taking these for censored
    would invent a lower bound. So where some call ended `ok` and none is an event, the phase is not measured: no row is left.
    """
    unseen = (pl.col("outcome") == "ok").any() & ~pl.col("event").any()
    return cells.filter((pl.col("event") | pl.col("censored")) & ~(unseen.over(list(group)) if group else unseen))
