"""How calls, and the long ones among them, spread over blocks of time: from it a report knows the bursts of its groups.

A call is long beyond the bucket that its group's quantile is in. One cut before that is neither long nor short, since nobody
knows. So the interval has the variance between blocks of the share of long calls in it, as `bursts` tells it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.telemetry.store.kinds import KIND, Numbered
from meshslo.telemetry.vocabulary import OTHER, VANTAGES, Phase

from . import histogram
from .adding import MAX_CELLS, indices
from .bursts import LENGTHS, Spread, largest_effects
from .folding import Rollup
from .lifetables import LifeTables
from .phases import ending, follows_from_outcome, timed
from .resampling import FEWEST_BLOCKS, MOST_BLOCKS
from .rollup import endings_of
from .scope import Scope

Floats = NDArray[np.float64]

Look = Callable[[pl.DataFrame, LifeTables, Sequence[float]], list[Floats]]
"""Given groups, their life tables and quantiles: for each quantile the design effect of each group, NaN where not known."""

_SPREAD: Final = pl.Schema({name: pl.Int64() for name in ("quantile", "group", "minute", "calls", "long")})
_BATCH_ROWS: Final = 125_000
_HOUR_MINUTES: Final = 60


class Blocks(NamedTuple):
    """Blocks of so many `minutes`; `first` is the number of the first since 1970, `number` how many there are."""

    minutes: int
    first: int
    number: int

    @classmethod
    def of(cls, first: datetime, last: datetime) -> Self:
        """The shortest of `LENGTHS` of which the time from `first` to `last` has no more than `MOST_BLOCKS`."""
        for minutes in LENGTHS:
            begin, end = (int(moment.timestamp() // (60 * minutes)) for moment in (first, last))
            if end - begin < MOST_BLOCKS:
                break
        return cls(minutes, begin, end - begin + 1)

    @property
    def bucket(self) -> str:
        """The length as a rollup's time bucket."""
        units = {1: "m", 60: "h", 1440: "d"}
        unit = max(length for length in units if self.minutes % length == 0)
        return f"{self.minutes // unit}{units[unit]}"


@dataclass(frozen=True, eq=False)
class Places:
    """Where calls are counted: words (vantage, keys; a place may be several) and the `group` of each, a number from 0.

    limits_s: for each quantile the duration of each group beyond whose bucket a call is long; NaN where no call ended.
    """

    words: pl.DataFrame
    limits_s: Sequence[Floats]
    blocks: Blocks

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self.limits_s[0])

    def split_by(self, key: str, values: Sequence[str]) -> "Places":
        """The same of calls with one of these `values` of a further key."""
        return replace(self, words=self.words.join(pl.DataFrame({key: values}, schema={key: pl.String}), how="cross"))

    def limits(self, scale: int) -> list[NDArray[np.int64]]:
        """The last bucket of each group whose calls are not long, for each quantile."""
        return [histogram.index_of(np.nan_to_num(limit_s, nan=histogram.CEILING_S), scale) for limit_s in self.limits_s]

    def effects(self, spread: pl.DataFrame) -> list[Floats]:
        """For each quantile the design effect of each group."""
        found = []
        for quantile in range(len(self.limits_s)):
            rows = spread.filter(pl.col("quantile") == quantile, pl.col("calls") > 0).sort("group", "minute")
            group, minute, calls, long = (rows[name].to_numpy() for name in list(_SPREAD)[1:])
            each = Spread(group, minute, calls.astype(np.float64), long.astype(np.float64))
            found.append(largest_effects(each, self.groups, shortest=self.blocks.minutes))
        return found


def look_with(ask: Callable[[Scope, Places], pl.DataFrame], seen: Rollup, told: Rollup, scope: Scope, blocks: Blocks) -> Look:
    """How a report of `told` looks at bursts: `ask` spreads the calls of a scope over places (see `added`).

    seen: the rollup that `told` was made of, by more keys and with values that are `__other__` there. scope: what was counted.
    """

    def look(groups: pl.DataFrame, tables: LifeTables, quantiles: Sequence[float]) -> list[Floats]:
        places = Places(_words(seen, told, groups), [tables.completed(q) for q in quantiles], blocks)
        return places.effects(ask(replace(scope, keys=seen.keys, bucket=blocks.bucket), places))

    return look


def why_independent(calls: int, most: int, blocks: Blocks, asked: bool | None) -> str | None:
    """Why bursts are not looked at in a report of so many calls, in words; None where they are.

    asked: whether they are to be; None where that is quick: of no more calls than `most`, and hours rather than months.
    """
    if asked is False:
        return "as asked for"
    if blocks.number < FEWEST_BLOCKS:
        return f"fewer than {FEWEST_BLOCKS} minutes do not show how minutes differ"
    if asked:
        return None
    looks = "`meshslo report --bursts` looks at them"
    if blocks.minutes > _HOUR_MINUTES:
        return f"they are of more than {MOST_BLOCKS} hours; {looks}"
    return f"there are more than {most:,}; {looks}" if calls > most else None


def _words(seen: Rollup, told: Rollup, groups: pl.DataFrame) -> pl.DataFrame:
    raw = seen.totals.select("vantage", *seen.keys).unique()
    kept = {key: told.totals[key].unique().to_list() for key in told.keys}
    shown = raw.with_columns(
        pl.when(pl.col(key).is_null() | pl.col(key).is_in(values)).then(key).otherwise(pl.lit(OTHER)).alias(key)
        for key, values in kept.items()
    )
    number = groups.with_row_index("group")
    joined = shown.join(number, on=["vantage", *told.keys], how="left", nulls_equal=True, maintain_order="left")
    return raw.with_columns(joined["group"].cast(pl.Int64)).drop_nulls("group")


def added(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Spreads added up: calls and long calls by quantile, group and minute (the start of a block since 1970)."""
    every = pl.concat([pl.DataFrame(schema=_SPREAD), *parts])
    return every.group_by("quantile", "group", "minute").agg(pl.col("calls", "long").sum())


def of_rollup(rollup: Rollup, places: Places) -> pl.DataFrame:
    """The calls of a rollup in time buckets of one phase, by the keys of `places`; the rollup may have more of them."""
    named = pl.exclude("group")
    totals = rollup.totals.join(
        places.words, on=places.words.select(named).columns, how="left", nulls_equal=True, maintain_order="left"
    ).with_columns(pl.col("start").dt.epoch("s") // 60)
    used = totals.select(pl.col("group").is_not_null() & (pl.col("event") | pl.col("censored"))).to_series().to_numpy()
    part = np.repeat(np.arange(totals.height), rollup.runs.rows)
    rows = used[part]
    part = part[rows]
    group, minute, event = (totals[name].to_numpy()[part] for name in ("group", "start", "event"))
    group = group.astype(np.int64)
    index, count = indices(rollup.counts)[rows], rollup.counts["count"].to_numpy()[rows].astype(np.int64)
    parts = []
    for quantile, limit in enumerate(places.limits(rollup.scale)):
        long = index > limit[group]
        columns = (np.full(len(part), quantile), group, minute, count * (event | long), count * long)
        parts.append(pl.DataFrame(dict(zip(_SPREAD, columns, strict=True)), schema=_SPREAD))
    return added(parts)


def of_numbered(calls: Numbered, keys: Sequence[str], phase: Phase, places: Places) -> pl.DataFrame | None:
    """The same of calls that a store has numbered by kind, in one pass over dense integers; None for too many places."""
    cells = (places.groups + 1) * places.blocks.number
    if cells * (1 + 2 * len(places.limits_s)) > MAX_CELLS:
        return None
    value_s, *endings = timed(phase, endings_of(calls))
    # Looked up by row, a kind's ending would cost as much as all the rest.
    shown = {} if follows_from_outcome(phase) else {"event": endings[0], "timed": endings[0] | endings[1]}
    block = pl.col("start").dt.epoch("ns") // (places.blocks.minutes * 60 * 10**9) - places.blocks.first
    # A call that has come since the window was looked up counts at its end.
    block = block.clip(0, places.blocks.number - 1)
    counts = _Counts(calls.words, keys, places, cells)
    query = calls.rows.select(KIND, block.alias("block"), value_s.alias("value_s"), **shown)
    for batch in query.collect_batches(maintain_order=False, engine="streaming"):
        for part in batch.iter_slices(_BATCH_ROWS):
            counts.add(part)
    return counts.spread()


class _Counts:
    """Counts in cells of groups and blocks; the calls of no group are in the last ones."""

    def __init__(self, kinds: pl.DataFrame, keys: Sequence[str], places: Places, cells: int) -> None:
        words = kinds.select(pl.col("vantage").cast(pl.Enum(VANTAGES)), *keys)
        joined = words.join(places.words, on=words.columns, how="left", nulls_equal=True, maintain_order="left")
        group = joined["group"].fill_null(places.groups).to_numpy()
        self._blocks = places.blocks
        self._first_cell = group * self._blocks.number
        event, censored = ending(pl.lit(value=True))
        self._event, self._timed = (kinds.select(each).to_series().to_numpy() for each in (event, event | censored))
        edges = [np.append(histogram.upper_edge(limit), np.inf)[group] for limit in places.limits(histogram.SCALE)]
        self._edges_s, self._least_s = edges, np.minimum.reduce(edges)
        self._events, *others = (np.zeros(cells, np.uint32) for _ in range(1 + 2 * len(edges)))
        self._long, self._long_cut = others[: len(edges)], others[len(edges) :]

    def add(self, part: pl.DataFrame) -> None:
        """Count some calls."""
        kind, value_s = part[KIND].to_numpy(), part["value_s"].to_numpy()
        if "event" in part.columns:
            event, is_timed = part["event"].to_numpy(), part["timed"].to_numpy()
        else:
            event, is_timed = self._event.take(kind) & ~np.isnan(value_s), self._timed.take(kind)
        cell = self._first_cell.take(kind)
        cell += part["block"].to_numpy()
        # numpy adds fast where it need not convert.
        np.add.at(self._events, cell, event.astype(np.uint32))
        far = np.flatnonzero((value_s > self._least_s.take(kind)) & is_timed)
        cell, kind, value_s, event = cell[far], kind[far], value_s[far], event[far]
        for edges_s, long, cut in zip(self._edges_s, self._long, self._long_cut, strict=True):
            beyond = value_s > edges_s.take(kind)
            np.add.at(long, cell[beyond], np.uint32(1))
            np.add.at(cut, cell[beyond & ~event], np.uint32(1))

    def spread(self) -> pl.DataFrame:
        """What was counted."""
        minutes, first, number = self._blocks
        parts = []
        for quantile, (long, cut) in enumerate(zip(self._long, self._long_cut, strict=True)):
            calls = (self._events + cut)[:-number]
            cell = np.flatnonzero(calls)
            columns: tuple[NDArray[Any], ...] = (
                np.full(len(cell), quantile), cell // number, (first + cell % number) * minutes, calls[cell], long[cell],
            )  # fmt: skip
            parts.append(pl.DataFrame(dict(zip(_SPREAD, columns, strict=True))).cast(_SPREAD))
        return pl.concat(parts)
