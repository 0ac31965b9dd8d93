"""Calls of one minute are not independent, nor those of one hour: by how much that widens an interval.

A slow minute is slow for all its calls, so a thousand calls of twenty minutes know less than a thousand calls by themselves.
The design effect says how much less: the variance between minutes of the share of long calls, over what independent calls
would have. Services also change by the hour: longer blocks are looked at as well where there are enough of them, and the one
that leaves least of the calls counts. So a promise holds for hours like those that were seen, not only for their calls.
Sources: Kish 1965 (design effect); Cochran 1977, section 6.3 (variance of a ratio of totals over clusters).
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import chdtri

from meshslo.telemetry.vocabulary import Phase

from .phases import timed
from .resampling import FEWEST_BLOCKS

Floats = NDArray[np.float64]
Group = tuple[str, str | None, str | None]

BLOCK: Final = "1m"

LENGTHS: Final = (1, 5, 15, 60, 240, 1440)
"""Minutes of the blocks that are looked at, to a day."""

LONG: Final = 0.95
"""Calls beyond this quantile are long: near enough to the tail to share its bursts, frequent enough to count them."""

_MINUTES: Final = 2**32
"""More than there have been since 1970."""

SURE: Final = 0.95
"""Minutes must differ by more than independent calls do with this confidence, else nothing is widened."""


def design_effects(
    calls: pl.LazyFrame, phase: Phase, limits_s: Mapping[Group, float], vantages: Mapping[str, str]
) -> dict[Group, float]:
    """For each group whose minutes differ more than chance, the factor (> 1) by which its calls count for fewer.

    limits_s: above how many seconds a call of the group is long; a group without a model is all models of its route.
    vantages: who is asked of each hop.
    """
    value_s, event, censored = timed(phase)
    rows = calls.select(
        "hop", "vantage", "route", "model", pl.col("start").dt.truncate(BLOCK).alias("minute"), value_s.alias("value_s"),
        (event | censored).alias("timed"), event.alias("event"),
    )  # fmt: skip
    effects: dict[Group, float] = {}
    for keys in (("hop", "vantage", "route"), ("hop", "vantage", "route", "model")):
        groups = [group for group in limits_s if (group[2] is None) == (len(keys) == 3)]
        limits = [(each[0], vantages.get(each[0]), *each[1 : len(keys) - 1], limits_s[each]) for each in groups]
        found = largest_effects(_spread(rows, keys, limits), len(groups), sure=SURE)
        effects |= {group: effect for group, effect in zip(groups, found.tolist(), strict=True) if effect > 1.0}
    return effects


class Minutes(NamedTuple):
    """Calls and long calls of one group in each minute that has any; minute: its number since 1970."""

    calls: Floats
    long: Floats
    minute: NDArray[np.int64]


def by_minute(
    rows: pl.LazyFrame, keys: Sequence[str], limits: Sequence[tuple[str | float | None, ...]]
) -> dict[tuple[str | None, ...], Minutes]:
    """Calls and long calls of each group in each minute; one cut before the limit is neither, since nobody knows.

    rows: the keys, minute, value_s, timed (an event or cut), event. limits: a group's keys and its limit in seconds.
    """
    spread = _spread(rows, keys, limits)
    begins = np.flatnonzero(np.diff(spread.group, prepend=-1))
    parts = (np.split(each, begins[1:]) for each in (spread.calls, spread.long, spread.minute))
    numbers = spread.group[begins].tolist()
    return {tuple(limits[number][:-1]): Minutes(*each) for number, *each in zip(numbers, *parts, strict=False)}


def _spread(rows: pl.LazyFrame, keys: Sequence[str], limits: Sequence[tuple[str | float | None, ...]]) -> "Spread":
    """The same in flat arrays; a group's number is its place in `limits`."""
    schema = dict.fromkeys(keys, pl.String()) | {"limit_s": pl.Float64()}
    groups = pl.LazyFrame(limits, schema=schema, orient="row").with_row_index("group")
    is_long = pl.col("timed") & (pl.col("value_s") > pl.col("limit_s"))
    minute = pl.col("minute").dt.epoch("s") // 60
    # One number a call: a sort of these is many times as fast as a group-by of nearly as many cells as there are calls.
    numbered = rows.join(groups, on=list(keys), nulls_equal=True).filter(pl.col("event") | is_long)
    packed = numbered.select((pl.col("group").cast(pl.Int64) * _MINUTES + minute) * 2 + is_long).collect()
    cells = np.sort(packed.to_series().to_numpy())
    cell, long = cells >> 1, cells & 1
    begins = np.flatnonzero(np.diff(cell, prepend=-1))
    first, calls = cell[begins], np.diff(begins, append=len(cell))
    return Spread(first // _MINUTES, first % _MINUTES, calls * 1.0, np.add.reduceat(long, begins) * 1.0)


def largest_effect(minutes: Minutes, *, sure: float | None = SURE) -> float:
    """The largest design effect of blocks of all `LENGTHS` of which there are enough; 1 where there are not."""
    alone = Spread(np.zeros(len(minutes.minute), np.int64), minutes.minute, minutes.calls, minutes.long)
    return float(np.nan_to_num(largest_effects(alone, 1, sure=sure), nan=1.0)[0])


class Spread(NamedTuple):
    """`Minutes` of many groups, in order of group (its number) and minute."""

    group: NDArray[np.int64]
    minute: NDArray[np.int64]
    calls: Floats
    long: Floats


def largest_effects(spread: Spread, groups: int, *, shortest: int = 1, sure: float | None = None) -> Floats:
    """For each group the largest design effect (1 at least) of blocks of `LENGTHS` from the `shortest` on.

    NaN where there are fewer than `FEWEST_BLOCKS` of each length: how blocks differ is then not known.
    """
    effects = np.full(groups, np.nan)
    # Of longer blocks there are too few in any group.
    longest = float(np.ptp(spread.minute)) / (FEWEST_BLOCKS - 2) if len(spread.minute) else 0.0
    for length in (length for length in LENGTHS if shortest <= length <= max(longest, 1.0)):
        block = spread.minute // length
        changed = (np.diff(spread.group, prepend=-1) != 0) | (np.diff(block, prepend=-1) != 0)
        begins = np.flatnonzero(changed)
        if len(begins):
            calls, long = (np.add.reduceat(each, begins) for each in (spread.calls, spread.long))
            effects = np.fmax(effects, _effects(Spread(spread.group[begins], block[begins], calls, long), groups, sure))
    return effects


def design_effect(calls: Floats, long: Floats, *, sure: float | None = SURE) -> float:
    """Variance between minutes over that of independent calls; 1 unless it is above 1 with confidence `sure` (None: at all)."""
    number = np.arange(len(calls))
    return float(np.nan_to_num(_effects(Spread(np.zeros_like(number), number, calls, long), 1, sure), nan=1.0)[0])


def _effects(blocks: Spread, groups: int, sure: float | None) -> Floats:
    """The design effect of each group, one row of `blocks` being a block; NaN where there are too few."""

    def total(values: Floats) -> Floats:
        return np.bincount(blocks.group, weights=values, minlength=groups).astype(np.float64)

    number, calls, long = total(np.ones(len(blocks.group))), total(blocks.calls), total(blocks.long)
    share = np.divide(long, calls, out=np.zeros(groups), where=calls > 0.0)
    between = total((blocks.long - share[blocks.group] * blocks.calls) ** 2) * number / np.maximum(number - 1.0, 1.0)
    chance = calls * share * (1.0 - share)
    effect = np.divide(between, chance, out=np.ones(groups), where=chance > 0.0)
    if sure is not None:
        # What the design effect of independent calls stays below with confidence `sure`.
        effect[effect <= chdtri(number - 1.0, 1.0 - sure) / np.maximum(number - 1.0, 1.0)] = 1.0
    return np.where(number >= FEWEST_BLOCKS, np.maximum(effect, 1.0), np.nan)
