"""Counts to figures with intervals: what another window with as many calls would show.

Blocks of time are resampled twice: once for what this window happened to show, once for what the next one happens to. A share
is never surer than as many independent calls would make it (beta-binomial). Where fates lie beyond the last call that was seen
to end, both ends of what may be are simulated, and the interval holds both.
Sources: Kuensch 1989 (blocks); Meeker, Hahn and Escobar, Statistical Intervals (prediction intervals); Jeffreys' prior.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from .kinds import Flags, Floats, Ints
from .tally import Tally

RESAMPLES: Final = 400
SAME: Final = 0.5
"""Ends of what may be that differ by less than this share of the interval's width are one figure."""

ROUNDING: Final = 1e-12

Status = Literal["ok", "bounded", "not_seen"]
"""An estimate; bounds only, since calls do not show how those that were cut, or would be repeated, end; nothing to count."""

Counts = Mapping[str, Floats]
Runs = Sequence[Sequence[Tally]]
"""Tallies of one set of policies: for each end of what may be, those of each draw."""


@dataclass(frozen=True)
class Figure:
    """A quantity: value (None where only bounds are known), and the interval that another such window would show it in."""

    value: float | None
    low: float | None
    high: float | None
    status: Status = "ok"


@dataclass(frozen=True)
class Share:
    """A quantity that is `base` + hits / trials, of which each trial is a hit or none."""

    hits: Callable[[Counts], Floats]
    trials: Callable[[Counts], Floats]
    base: float = 0.0

    def __call__(self, counts: Counts) -> Floats:
        """Its value."""
        return np.asarray(self.base + ratio(self.hits(counts), self.trials(counts)))


Quantity = Share | Callable[[Counts], Floats]


def ratio(top: Floats, below: Floats) -> Floats:
    """Top / below, NaN where there is nothing below."""
    below = np.asarray(below, dtype=np.float64)
    return np.asarray(np.divide(top, below, out=np.full(np.broadcast(top, below).shape, np.nan), where=below > 0))


@dataclass(frozen=True, eq=False)
class Sample:
    """A quantity of some rows: its value, and what resampling makes of it, in one array (resample, row) a way of doing so."""

    point: Floats
    replicates: tuple[Floats, ...]

    def __sub__(self, other: "Sample") -> "Sample":
        pairs = zip(self.replicates, other.replicates, strict=True)
        return Sample(self.point - other.point, tuple(mine - theirs for mine, theirs in pairs))

    def fixed(self, rows: Flags) -> "Sample":
        """The same with no spread in `rows`: nothing can happen there that was not counted."""
        return Sample(self.point, tuple(np.where(rows, self.point, each) for each in self.replicates))

    def along(self, paths: Sequence[Ints]) -> "Sample":
        """The largest product over the rows of each path, as of one row."""

        def most(values: Floats) -> Floats:
            products = [np.nan_to_num(values[..., rows], nan=1.0).prod(axis=-1, keepdims=True) for rows in paths]
            return np.asarray(np.maximum.reduce(products))

        return Sample(most(self.point), tuple(most(each) for each in self.replicates))


@dataclass(frozen=True, eq=False)
class Resampling:
    """Weights of blocks in each resample, for this window and the next; effective: independent calls for each one counted."""

    now: Ints
    following: Ints
    effective: float
    rng: np.random.Generator

    @classmethod
    def of(cls, blocks: int, effective: float, rng: np.random.Generator) -> "Resampling":
        """`RESAMPLES` draws with replacement of `blocks` blocks."""
        now, following = (rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=RESAMPLES) for _ in range(2))
        return cls(now, following, effective, rng)

    def sample(self, draws: Sequence[Counts], quantity: Quantity) -> Sample:
        """The quantity of counts by (row, block): each draw of the fates serves as many resamples."""
        points = [quantity({name: values.sum(axis=-1) for name, values in draw.items()}) for draw in draws]
        point = np.mean(points, axis=0)
        bursts = np.empty((RESAMPLES, len(point)))
        plain = np.empty_like(bursts)
        for number, draw in enumerate(draws):
            rows = slice(number, None, len(draws))
            now, following = (
                quantity({name: weights[rows] @ values.T for name, values in draw.items()})
                for weights in (self.now, self.following)
            )
            bursts[rows] = now + following - points[number]
            plain[rows] = self._independent(draw, quantity, bursts[rows]) if isinstance(quantity, Share) else bursts[rows]
        # A resample of blocks in which nothing was asked says nothing.
        return Sample(point, (np.where(np.isnan(bursts), point, bursts), np.where(np.isnan(plain), point, plain)))

    def _independent(self, draw: Counts, share: Share, bursts: Floats) -> Floats:
        """Shares of as many calls, were each independent of the others; `bursts` where hits outnumber trials."""
        whole = {name: values.sum(axis=-1) for name, values in draw.items()}
        trials = np.maximum(np.round(share.trials(whole) * self.effective), 0.0)
        hits = np.clip(share.hits(whole) * self.effective, 0.0, trials)
        chance = self.rng.beta(hits + 0.5, trials - hits + 0.5, size=bursts.shape)
        drawn = share.base + ratio(self.rng.binomial(trials.astype(np.int64), chance).astype(np.float64), trials)
        return np.where(share.hits(whole) > share.trials(whole), bursts, drawn)


def figures(ends: Sequence[Sample], confidence: float, edges: tuple[float, float] = (-np.inf, np.inf)) -> list[Figure]:
    """The figure of each row, from the samples of each end of what may be; within `edges`."""
    tail = (1.0 - confidence) / 2.0
    every = np.stack([each for sample in ends for each in sample.replicates])
    points = np.clip(np.stack([sample.point for sample in ends]), *edges)
    lows, highs = (np.clip(np.quantile(every, q, axis=1), *edges) for q in (tail, 1.0 - tail))
    low, high = np.minimum(lows.min(axis=0), points.min(axis=0)), np.maximum(highs.max(axis=0), points.max(axis=0))
    apart = np.ptp(points, axis=0) > SAME * (highs - lows).max(axis=0) + ROUNDING
    return [_figure(*row) for row in zip(points.mean(axis=0), low, high, apart, strict=True)]


def _figure(value: float, low: float, high: float, apart: bool) -> Figure:
    if np.isnan(value):
        return Figure(None, None, None, "not_seen")
    return Figure(None if apart else float(value), float(low), float(high), "bounded" if apart else "ok")
