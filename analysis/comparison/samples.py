"""The calls of one side and phase, by group: their life tables, counting for fewer where the calls of a minute go together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl

from meshslo.analysis.bursts import BLOCK, by_minute, largest_effect
from meshslo.analysis.lifetables import LifeTables
from meshslo.analysis.phases import timed
from meshslo.analysis.quantile import Quantiles
from meshslo.analysis.rollup import Rollup, roll_up
from meshslo.analysis.tables import life_tables
from meshslo.telemetry.vocabulary import Phase

from .difference import Floats, Limits

Group = tuple[str | None, ...]


@dataclass(frozen=True, eq=False)
class Sample:
    """One side's calls in the groups that both sides have, and in their order.

    rows: the keys, minute, value_s, timed, event. place: where each group is among the tables'.
    """

    rows: pl.LazyFrame
    keys: tuple[str, ...]
    groups: Sequence[Group]
    tables: LifeTables
    place: np.ndarray[tuple[int], np.dtype[np.int64]]

    @cached_property
    def _careful(self) -> dict[float, LifeTables]:
        return {}

    def quantiles(self, q: float, confidence: float) -> Limits:
        """The quantile of each group with its limits; NaN with limits where it is only known to be larger."""
        if q not in self._careful:
            self._careful[q] = replace(self.tables, weight_sq=self.tables.weight_sq * self._effects(q))
        return _limits(self._careful[q].quantiles(q, confidence), self.place)

    @property
    def calls(self) -> list[int]:
        """Calls in the estimate of each group."""
        return [int(n) for n in self.tables.calls[self.place]]

    def _effects(self, q: float) -> Floats:
        """By what the calls of each group count for fewer at the quantile; see `bursts`."""
        limit_s = self.tables.completed(q)[self.place]
        limits = [(*group, float(s)) for group, s in zip(self.groups, limit_s, strict=True) if not np.isnan(s)]
        found = by_minute(self.rows, self.keys, limits)
        effects = np.ones(len(self.tables))
        for group, at in zip(self.groups, self.place, strict=True):
            if group in found:
                effects[at] = largest_effect(found[group], sure=None)
        return effects


def samples(a: pl.LazyFrame, b: pl.LazyFrame, keys: Sequence[str], phase: Phase) -> tuple[Sample, Sample]:
    """Both sides' calls in a phase, of each hop from the outermost vantage that saw it on both together."""
    words = tuple(dict.fromkeys((*keys, "hop")))
    both = [roll_up(side, keys=words, bucket=None, phases=[phase], extremes=False) for side in (a, b)]
    picked = both[0].merge(both[1]).pick_vantage().totals.select("hop", pl.col("vantage").cast(pl.String)).unique()
    found = [_groups(rollup, picked, tuple(keys), phase) for rollup in both]
    places = [_seen(*side) for side in found]
    shared = [group for group in places[0] if group in places[1]]
    sides = []
    for calls, (_, tables), at in zip((a, b), found, places, strict=True):
        rows = _rows(calls.join(picked.lazy(), on=["hop", "vantage"], how="semi"), keys, phase)
        sides.append(Sample(rows, tuple(keys), shared, tables, np.array([at[group] for group in shared], dtype=np.int64)))
    return sides[0], sides[1]


def _groups(rollup: Rollup, picked: pl.DataFrame, keys: tuple[str, ...], phase: Phase) -> tuple[list[Group], LifeTables]:
    name = pl.concat_str("hop", pl.lit("\t"), pl.col("vantage").cast(pl.String))
    mine = rollup.where(name.is_in([f"{hop}\t{vantage}" for hop, vantage in picked.iter_rows()]))
    # What vantages tell of different hops goes together where the hop is no key.
    alike = mine.renamed(mine.totals.with_columns(pl.lit(None).cast(mine.totals.schema["vantage"]).alias("vantage"))).by(keys)
    groups, tables = life_tables(alike, phase)
    return groups.select(keys).rows(), tables


def _seen(groups: Sequence[Group], tables: LifeTables) -> dict[Group, int]:
    """The place of each group that shows the phase."""
    return {group: n for n, group in enumerate(groups) if tables.calls[n]}


def _rows(calls: pl.LazyFrame, keys: Sequence[str], phase: Phase) -> pl.LazyFrame:
    value_s, event, censored = timed(phase)
    return calls.select(
        *keys,
        pl.col("start").dt.truncate(BLOCK).alias("minute"),
        value_s.alias("value_s"),
        (event | censored).alias("timed"),
        event.alias("event"),
    )


def _limits(found: Quantiles, place: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Limits:
    known = (found.status == "ok")[place]
    seen = (found.status != "not_identifiable")[place]
    low, high = np.nan_to_num(found.low_s[place]), np.nan_to_num(found.high_s[place], nan=np.inf)
    return Limits(
        estimate=np.where(known, found.value_s[place], np.nan),
        low=np.where(seen, low, np.nan),
        high=np.where(known, high, np.where(seen, np.inf, np.nan)),
    )
