"""From how many calls at a time on a service slows down: the knee of latency over load, with its interval, or none.

Two shapes are known. A service with slots answers as fast as ever until they are taken; then calls wait: a line with a bend.
One that shares itself out slows with every call, and at some number its throughput falls: the universal scalability law. Each
fitted to the other's calls is wrong by half and more, so the law is believed only where it fits better than the bend.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST_LEVELS: Final = 6
"""Loads that must be told apart: three on each side of a knee. Source: Gunther, Guerrilla Capacity Planning."""

FEWEST_BLOCKS: Final = 10
MOST_LEVELS: Final = 48
LEAST_RISE: Final = 0.25
"""Calls at the highest load seen must surely take longer than at low load by this share: less is no knee."""

RESAMPLES: Final = 400


@dataclass(frozen=True)
class Knee:
    """Where latency leaves its level: `at` calls in progress, surely between `low` and `high`.

    `none`: no knee up to `up_to` calls, the most that were seen. `unknown`: too few loads or calls to tell. `everywhere`: it
    rises from the lowest load on, so that no load is free of it. rise_ratio: how much longer a call takes at `up_to`.
    """

    status: Literal["found", "none", "everywhere", "unknown"]
    up_to: float
    at: float | None = None
    low: float | None = None
    high: float | None = None
    rise_ratio: float | None = None


@dataclass(frozen=True)
class Peak:
    """Where throughput is highest: `at` calls in progress, surely between `low` and `high`, all of which were seen.

    `none`: no law fits better than a bend, or load never got to its peak. `unknown`: too few loads or calls to tell.
    contention, coherency: the law's two coefficients.
    """

    status: Literal["found", "none", "unknown"]
    up_to: float
    at: float | None = None
    low: float | None = None
    high: float | None = None
    contention: float | None = None
    coherency: float | None = None


@dataclass(frozen=True, eq=False)
class _Levels:
    """Sums over calls by block of time (rows) and load level (columns)."""

    load: Floats
    calls: Floats
    slowness: Floats

    @property
    def too_few(self) -> bool:
        """Whether there are too few loads, or stretches of time to draw from."""
        return len(self.load) < FEWEST_LEVELS or len(self.calls) < FEWEST_BLOCKS

    def drawn(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Calls and slowness by load: as they are in the first row, then of blocks drawn again."""
        blocks = len(self.calls)
        draws = rng.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=RESAMPLES)
        counted = np.vstack([np.ones(blocks), draws])
        return counted @ self.calls, counted @ self.slowness


def find_knee(load: Floats, slowness: Floats, block: Ints, *, confidence: float, rng: np.random.Generator) -> Knee:
    """The knee of `slowness` (a call's latency over that at low load) over `load`, the calls it met.

    A line that is flat up to the knee and straight beyond is fitted by least squares to the mean slowness at each load; calls
    of one `block` of time go together, so the interval comes from drawing blocks again, `rng` choosing them (Kuensch 1989).
    """
    top = float(load.max(initial=0.0))
    levels = _levels(load, slowness, block)
    if levels.too_few:
        return Knee("unknown", top)
    at, rise, _ = _hinges(levels.load, *levels.drawn(rng))
    tail = 1.0 - confidence
    if np.quantile(rise[1:], tail) < LEAST_RISE:
        return Knee("none", top, rise_ratio=float(rise[0]))
    low, high = (float(np.quantile(at[1:], share)) for share in (tail, confidence))
    if low <= levels.load[1]:
        return Knee("everywhere", top, rise_ratio=float(rise[0]))
    return Knee("found", top, float(at[0]), low, high, float(rise[0]))


def load_levels(load: Floats, slowness: Floats) -> list[tuple[float, float, int]]:
    """Mean load, mean slowness and calls at each load that the fits tell apart, in order."""
    levels = _levels(load, slowness, np.zeros(len(load), dtype=np.int64))
    if not len(levels.load):
        return []
    calls, sums = levels.calls[0], levels.slowness[0]
    return [(float(at), float(total / n), int(n)) for at, total, n in zip(levels.load, sums, calls, strict=True)]


def find_peak(load: Floats, slowness: Floats, block: Ints, *, confidence: float, rng: np.random.Generator) -> Peak:
    """Where N / R(N) is highest, R being the mean `slowness` of calls that met a load of N: their whole time for some work.

    R(N) is proportional to 1 + a (N - 1) + c N (N - 1), with the peak at the root of (1 - a) / c; a and c are fitted by least
    squares, at least 0, and their interval as in `find_knee`. Source: Gunther 2007, Guerrilla Capacity Planning.
    """
    top = float(load.max(initial=0.0))
    levels = _levels(load, slowness, block)
    if levels.too_few:
        return Peak("unknown", top)
    calls, sums = levels.drawn(rng)
    fits = np.array([_law(levels.load, *row) for row in zip(calls, sums, strict=True)])
    _, _, bend_left = _hinges(levels.load, calls[:1], sums[:1])
    a, c, left = fits[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        # With a contention of 1 throughput never rises; without coherency it never falls.
        at = np.where(fits[:, 0] < 1.0, np.sqrt((1.0 - fits[:, 0]) / fits[:, 1]), 0.0)
    low, high = (float(np.quantile(at[1:], share, method="nearest")) for share in (1.0 - confidence, confidence))
    if left >= bend_left[0] or low <= levels.load[1] or not high <= levels.load[-1]:
        return Peak("none", top)
    return Peak("found", top, float(at[0]), low, high, float(a), float(c))


def _law(load: Floats, calls: Floats, slowness: Floats) -> tuple[float, float, float]:
    """Contention and coherency of the best law, and the variance that it leaves; contention is infinite where none begins."""
    from scipy.optimize import nnls  # half a second of every command's start

    root = np.sqrt(calls)
    terms = np.stack([np.ones_like(load), load - 1.0, load * (load - 1.0)], axis=1) * root[:, None]
    (first, linear, square), left = nnls(terms, slowness / np.maximum(root, 1e-12))
    variance = float(left**2 / calls.sum())
    return (linear / first, square / first, variance) if first > 0.0 else (np.inf, 1.0, variance)


def _levels(load: Floats, slowness: Floats, block: Ints) -> _Levels:
    """Calls by block and load; neighbouring loads go together, by their calls and, where few calls are, by ratio."""
    if len(load) == 0:
        return _Levels(load, np.empty((0, 0)), np.empty((0, 0)))
    by_calls = np.quantile(load, np.linspace(0.0, 1.0, MOST_LEVELS // 2 + 1))
    by_ratio = np.floor(np.geomspace(max(load.min(), 1.0), max(load.max(), 1.0), MOST_LEVELS // 2))
    edges = np.unique(np.concatenate([by_calls, by_ratio]))
    place = np.clip(np.searchsorted(edges, load, side="right") - 1, 0, max(len(edges) - 2, 0))
    _, row = np.unique(block, return_inverse=True)
    shape = (int(row.max(initial=-1)) + 1, max(len(edges) - 1, 1))
    flat = row * shape[1] + place

    def summed(values: Floats) -> Floats:
        return np.bincount(flat, weights=values, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)

    calls = summed(np.ones(len(load)))
    filled = calls.sum(axis=0) > 0
    mean_load = summed(load).sum(axis=0)[filled] / calls.sum(axis=0)[filled]
    return _Levels(mean_load, calls[:, filled], summed(slowness)[:, filled])


def _hinges(load: Floats, calls: Floats, slowness: Floats) -> tuple[Floats, Floats, Floats]:
    """For each row of sums: the best knee, the rise at the highest load as a share of the level below, the variance left."""
    mean = slowness / np.maximum(calls, 1e-12)
    candidates = load[1:-2]
    beyond = np.maximum(0.0, load - candidates[:, None])
    total = calls.sum(axis=1, keepdims=True)
    mean_x, mean_y = calls @ beyond.T / total, (calls * mean).sum(axis=1, keepdims=True) / total
    var_x = calls @ (beyond**2).T / total - mean_x**2
    cov = (calls * mean) @ beyond.T / total - mean_x * mean_y
    slope = np.maximum(0.0, cov / np.maximum(var_x, 1e-12))
    # What a line explains of the variance; the best one leaves the least.
    explained = slope * (2 * cov - slope * var_x)
    best = explained.argmax(axis=1)
    row = np.arange(len(calls))
    flat = mean_y[:, 0] - slope[row, best] * mean_x[row, best]
    rise = slope[row, best] * (load[-1] - candidates[best]) / np.maximum(flat, 1e-12)
    spread = (calls * (mean - mean_y) ** 2).sum(axis=1) / total[:, 0]
    return candidates[best], rise, spread - explained[row, best]
