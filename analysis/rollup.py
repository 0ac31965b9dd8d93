"""The rollup of call rows: one group-by for each phase. What can be done with a rollup is in `folding`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import polars as pl

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.store.kinds import KIND, KIND_WORDS, WEIGHS, Numbered
from meshslo.telemetry.vocabulary import OUTCOMES, PHASES, VANTAGES, Phase

from . import histogram
from .counting import Counted, count
from .folding import EXTREMES, KEYS, ROWS, TOTAL_VALUES, Rollup, bucket_start, from_cells, place
from .groups import ByCode, ByHash
from .phases import BY_WORDS, Endings, ending, follows_from_outcome, timed
from .scope import Scope

__all__ = ["KEYS", "Rollup", "from_cells", "roll_up", "roll_up_in"]


def roll_up(
    calls: pl.LazyFrame | Numbered,
    *,
    keys: Sequence[str] = KEYS,
    bucket: str | None = "1m",
    phases: Sequence[Phase] = PHASES,
    extremes: bool = True,
) -> Rollup:
    """Count calls (rows of `telemetry.schema`) by time bucket, vantage and `keys`, a histogram for each phase and outcome.

    `bucket` is a Polars duration ("1m", "1h"), or None for no time buckets. Calls without a weight count as 1. Without
    `extremes` the totals hold no sums, shortest and longest durations, which spares a second pass. Calls that a store has
    numbered by kind are counted several times as fast; their keys are words of the kinds.
    Raises BadInputError naming keys or phases that calls do not have.
    """
    return roll_up_in(calls, Scope(tuple(keys), bucket, tuple(phases), extremes=extremes))


def roll_up_in(calls: pl.LazyFrame | Numbered, scope: Scope) -> Rollup:
    """`roll_up` of calls that are all in the window of `scope`."""
    read = _Numbered(calls) if isinstance(calls, Numbered) else _Worded(calls)
    _check(scope.keys, scope.phases, read.words)
    plan = _Plan(read, scope.keys, scope.bucket, scope.extremes)
    first, *rest = [plan.roll_up(phase) for phase in scope.phases]
    for rollup in rest:
        first = first.merge(rollup)
    return first


def _check(keys: Sequence[str], phases: Sequence[Phase], words: Sequence[str]) -> None:
    unknown = [phase for phase in phases if phase not in PHASES]
    if unknown or not phases:
        raise BadInputError(f"not phases: {', '.join(unknown) or 'none given'}; there are {', '.join(PHASES)}")
    allowed = [name for name in words if name not in ("vantage", "outcome")]
    wrong = [key for key in keys if key not in allowed]
    if wrong:
        raise BadInputError(f"not keys of calls: {', '.join(wrong)}; there are {', '.join(allowed)}")


class _Calls(Protocol):
    """Calls whose words are read in one way or the other."""

    rows: pl.LazyFrame
    words: list[str]
    endings: Endings

    def weighted(self) -> bool:
        """Whether any call weighs other than 1."""

    def shown(self, words: Sequence[str]) -> list[str]:
        """The columns that tell `words`."""

    def grouping(self, words: Sequence[str], flags: Sequence[str]) -> ByHash | ByCode:
        """The groups of `words` and of `flags`, which are columns of booleans."""

    def named(self, grouped: pl.LazyFrame, words: Sequence[str]) -> pl.LazyFrame:
        """`grouped` by the columns that `shown` tells, with `words` in their place."""


class _Worded:
    """Calls with a column for each word."""

    def __init__(self, calls: pl.LazyFrame) -> None:
        self.rows = calls
        self.words = [name for name, kind in calls.collect_schema().items() if kind in (pl.String, pl.Categorical, pl.Enum)]
        self.endings = BY_WORDS

    def weighted(self) -> bool:
        query = self.rows.select((pl.col("weight").fill_null(1.0) != 1.0).any())
        return bool(query.collect(engine="streaming").item())

    def shown(self, words: Sequence[str]) -> list[str]:
        return list(words)

    def grouping(self, words: Sequence[str], flags: Sequence[str]) -> ByHash:
        return ByHash(self.rows.select(*words, *(pl.lit(value=True).alias(flag) for flag in flags)).collect_schema())

    def named(self, grouped: pl.LazyFrame, words: Sequence[str]) -> pl.LazyFrame:
        return grouped.select(*words, pl.exclude(words))


def endings_of(calls: Numbered) -> Endings:
    """What the kinds of calls tell about their endings."""
    told = BY_WORDS._asdict().items()
    kinds = {name: calls.words.select(holds.arg_true()).to_series().to_list() for name, holds in told}
    return Endings(**{name: pl.col(KIND).is_in(those) for name, those in kinds.items()})


class _Numbered:
    """Calls with the number of their kind."""

    def __init__(self, calls: Numbered) -> None:
        self.rows = calls.rows
        self.words = [word for word in KIND_WORDS if calls.words.schema[word] == pl.String]
        self._kinds = calls.words
        self.endings = endings_of(calls)

    def weighted(self) -> bool:
        return bool(self._kinds[WEIGHS].any())

    def shown(self, words: Sequence[str]) -> list[str]:
        return [KIND] if words else []

    def grouping(self, words: Sequence[str], flags: Sequence[str]) -> ByCode:
        # In the order of a rollup's groups.
        table = self._kinds.select(words).with_columns(*_words([]))
        code = pl.col(KIND)
        for flag in flags:
            code = code * 2 + pl.col(flag)
            table = table.join(pl.DataFrame({flag: [False, True]}), how="cross", maintain_order="left_right")
        return ByCode(code, table)

    def named(self, grouped: pl.LazyFrame, words: Sequence[str]) -> pl.LazyFrame:
        kinds = self._kinds.lazy().select(words).with_row_index(KIND)
        return grouped.join(kinds, on=KIND, how="left").drop(KIND)


@dataclass(frozen=True)
class _Plan:
    """What to roll up of which calls."""

    calls: _Calls
    keys: tuple[str, ...]
    bucket: str | None
    extremes: bool

    @cached_property
    def weighted(self) -> bool:
        """Whether any call weighs other than 1."""
        return self.calls.weighted()

    @property
    def words(self) -> list[str]:
        """The words that tell groups apart."""
        return ["vantage", *self.keys, "outcome"]

    def roll_up(self, phase: Phase) -> Rollup:
        """The rollup of one phase."""
        # Groups in time buckets are many and small: there the general group-by is the better one.
        dense = None if self.bucket is not None else self._dense(phase)
        return dense if dense is not None else self._general(phase)

    def _dense(self, phase: Phase) -> Rollup | None:
        rows = self._rows(phase)
        flags = [] if follows_from_outcome(phase) else ["event", "censored"]
        counted = count(rows, self.calls.grouping(self.words, flags), weighted=self.weighted)
        if counted is None:
            return None
        rollup = _named(counted, phase, self.keys)
        return rollup.with_extremes(self._measured(phase)) if self.extremes else rollup

    def _measured(self, phase: Phase) -> pl.DataFrame:
        """Sum, shortest and longest duration of each group."""
        shown = self.calls.shown(self.words)
        grouped = self._rows(phase).group_by("start", *shown, "event", "censored").agg(_MEASURES)
        named = self._typed(self.calls.named(grouped, self.words), phase).group_by(place(self.keys)).agg(_MERGED)
        return named.collect(engine="streaming")

    def _general(self, phase: Phase) -> Rollup:
        weight = pl.col("weight")
        grouped = (
            self._rows(phase)
            .with_columns(histogram.index_expr(pl.col("value_s")).alias("index"))
            .group_by("start", *self.calls.shown(self.words), "event", "censored", "index")
            .agg(pl.len().cast(pl.UInt64).alias("count"), weight.sum(), (weight**2).sum().alias("weight_sq"), *_MEASURES)
        )
        cells = self._typed(self.calls.named(grouped, self.words), phase).collect(engine="streaming")
        if not self.extremes:
            cells = cells.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in EXTREMES)
        return from_cells(cells.drop(EXTREMES), cells.drop("index"), self.keys, self.bucket)

    def _rows(self, phase: Phase) -> pl.LazyFrame:
        value_s, event, censored = timed(phase, self.calls.endings)
        return self.calls.rows.select(
            bucket_start(self.bucket),
            *self.calls.shown(self.words),
            event.alias("event"),
            censored.alias("censored"),
            value_s.alias("value_s"),
            pl.col("weight").fill_null(1.0),
        )

    def _typed(self, grouped: pl.LazyFrame, phase: Phase) -> pl.LazyFrame:
        return grouped.with_columns(*_words(self.keys), pl.lit(phase, dtype=pl.Enum(PHASES)).alias("phase"))


_MEASURES: Final = [
    pl.col("value_s").sum().alias("sum_s"),
    pl.col("value_s").min().alias("min_s"),
    pl.col("value_s").max().alias("max_s"),
]
_MERGED: Final = [pl.col("sum_s").sum(), pl.col("min_s").min(), pl.col("max_s").max()]


def _words(keys: Sequence[str]) -> list[pl.Expr]:
    return [pl.col("vantage").cast(pl.Enum(VANTAGES)), pl.col("outcome").cast(pl.Enum(OUTCOMES)), pl.col(keys).cast(pl.String)]


def _named(counted: Counted, phase: Phase, keys: tuple[str, ...]) -> Rollup:
    """The rollup of what was counted, without extremes."""
    words = counted.totals.with_columns(
        *_words(keys),
        pl.lit(None, dtype=pl.Datetime("ns", "UTC")).alias("start"),
        pl.lit(phase, dtype=pl.Enum(PHASES)).alias("phase"),
        *(pl.lit(None, dtype=pl.Float64).alias(name) for name in EXTREMES),
    )
    if follows_from_outcome(phase):
        event, censored = ending(pl.col("seen"))
        words = words.with_columns(event.alias("event"), censored.alias("censored"))
    totals = words.select(*place(keys), *TOTAL_VALUES, ROWS)
    # Two may have one name (errors seen and not seen): they share no cell, since the one's index is null.
    return Rollup(totals, counted.cells, keys, None).renamed(totals, distinct=True)
