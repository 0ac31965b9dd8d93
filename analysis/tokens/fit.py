"""A line: total = base + a time for each output token + one for each input token, which outliers do not bend.

A stream shows its parts, also where it was cut: its first token, and its own time per token after that. So the line of streams
is put together from these. A timer that cuts the long and the slow would bend a line through their totals.

Huber's estimator, with weights that keep calls of extraordinary size from pulling the line; its covariance from sums over time
blocks, so that calls of one slow minute count as hanging together.
Sources: Huber 1964 and 1967; Mallows 1975 (weights by size); Liang and Zeger 1986 (covariance over clusters).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from meshslo.analysis.quantile import Interval

Floats = NDArray[np.float64]

FEWEST: Final = 30
"""Fewer calls make no line."""

_BEND: Final = 1.345
"""Residuals in units of their scale from which on they count less. Source: Huber 1981, 95 % efficient for normal ones."""

_MAD: Final = 1.4826
"""Makes the median of absolute residuals the standard deviation of normal ones."""

_FAR: Final = 6.0
"""Sizes further from their median than so many times its distance to the ninth decile count less."""

_STEPS: Final = 60


@dataclass(frozen=True, eq=False)
class Fit:
    """Coefficients in seconds: base, per output token, per input token (0 where all calls have the same), with covariance.

    degrees: of freedom: time blocks less coefficients. scale_s: the spread of single calls around the line.
    """

    coefficients: Floats
    covariance: Floats
    degrees: int
    scale_s: float
    calls: int

    def coefficient(self, place: int, confidence: float = 0.95) -> Interval:
        """One coefficient with its interval: 0 base, 1 per output token, 2 per input token."""
        return self._at(np.eye(3)[place], confidence)

    def total_s(self, output_tokens: float, input_tokens: float, confidence: float = 0.95) -> Interval:
        """What a call of so many tokens typically takes."""
        return self._at(np.array([1.0, output_tokens, input_tokens]), confidence)

    def _at(self, x: Floats, confidence: float) -> Interval:
        value = float(x @ self.coefficients)
        variance = max(float(x @ self.covariance @ x), 0.0)
        half = float(stdtrit(max(self.degrees, 1), 0.5 + confidence / 2.0)) * math.sqrt(variance)
        return Interval(value, value - half, value + half)


def fit(total_s: Floats, output_tokens: Floats, input_tokens: Floats, weight: Floats, block: NDArray[np.int64]) -> Fit | None:
    """The line through the totals of calls that ended; None for fewer than `FEWEST`, or where all answers are of one length.

    weight: of each call (1 / sampling probability). block: number of the time block of each call.
    """
    if len(total_s) < FEWEST or np.ptp(output_tokens) == 0.0:
        return None
    part = _part(np.stack([output_tokens, input_tokens], axis=1), total_s, weight, block)
    return _together(part, np.eye(3), len(total_s))


def fit_streams(
    first_token_s: Floats, per_token_s: Floats, input_tokens: Floats, weight: Floats, block: NDArray[np.int64]
) -> Fit | None:
    """The line of streams from their first tokens and their times per token after it; None for fewer than `FEWEST`.

    The total of n tokens is the first token's time and n - 1 times that of one.
    """
    if len(first_token_s) < FEWEST:
        return None
    first = _part(input_tokens[:, None], first_token_s, weight, block)
    each = _part(np.empty((len(per_token_s), 0)), per_token_s, weight, block)
    both = _Part(
        np.concatenate([first.coefficients, each.coefficients]),
        np.concatenate([first.influence, each.influence], axis=1),
        float(np.hypot(first.scale, each.scale)),
    )
    return _together(both, np.array([[1.0, 0.0, -1.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]), len(first_token_s))


@dataclass(frozen=True, eq=False)
class _Part:
    """Coefficients, by how much each time block moved them, and the scale of the residuals."""

    coefficients: Floats
    influence: Floats
    scale: float


def _together(part: _Part, into: Floats, calls: int) -> Fit:
    """A fit whose coefficients are combinations of a part's."""
    blocks = len(part.influence)
    degrees = max(blocks - part.influence.shape[1], 1)
    influence = part.influence @ into.T
    covariance: Floats = influence.T @ influence * (blocks / degrees)
    return Fit(into @ part.coefficients, covariance, degrees, part.scale, calls)


def _part(sizes: Floats, y: Floats, weight: Floats, block: NDArray[np.int64]) -> _Part:
    """`y` on a constant and `sizes`; a size that is the same everywhere has the coefficient 0."""
    used = np.append(True, np.ptp(sizes, axis=0) > 0.0) if sizes.size else np.ones(1, dtype=bool)
    x = np.concatenate([np.ones((len(y), 1)), sizes], axis=1)
    unit = np.where(used, np.abs(x).max(axis=0), 1.0)
    scaled = x[:, used] / unit[used]
    trust = weight.astype(np.float64)
    for column in scaled.T[1:]:
        trust = trust * _trust(column)
    beta, scale = _huber(scaled, y, trust)
    moved = _influence(scaled, y - scaled @ beta, trust, scale, block)
    coefficients, influence = np.zeros(len(used)), np.zeros((len(moved), len(used)))
    coefficients[used], influence[:, used] = beta / unit[used], moved / unit[used]
    return _Part(coefficients, influence, scale)


def _trust(sizes: Floats) -> Floats:
    """1 for ordinary sizes, less for extraordinary ones."""
    middle, high = np.quantile(sizes, [0.5, 0.9])
    away = np.abs(sizes - middle)
    far = _FAR * max(float(high - middle), float(np.quantile(away, 0.9)), 1e-12)
    trust: Floats = np.minimum(1.0, far / np.maximum(away, far))
    return trust


def _huber(x: Floats, y: Floats, trust: Floats) -> tuple[Floats, float]:
    """Coefficients and the scale of the residuals."""
    beta = _weighted(x, y, trust)
    tiny = 1e-9 * max(float(np.abs(y).max()), 1e-300)
    for step in range(_STEPS):
        away = np.abs(y - x @ beta)
        scale = max(_MAD * float(np.median(away)), tiny)
        # First by absolute values, which forget a bad start; then Huber's.
        weight = 1.0 / np.maximum(away, 0.1 * scale) if step < 10 else np.minimum(1.0, _BEND * scale / np.maximum(away, tiny))
        moved = _weighted(x, y, trust * weight)
        done = step > 10 and np.allclose(moved, beta, rtol=1e-9, atol=tiny)
        beta = moved
        if done:
            break
    return beta, max(_MAD * float(np.median(np.abs(y - x @ beta))), tiny)


def _weighted(x: Floats, y: Floats, weight: Floats) -> Floats:
    root = np.sqrt(weight)
    return np.asarray(np.linalg.lstsq(x * root[:, None], y * root, rcond=None)[0], dtype=np.float64)


def _influence(x: Floats, residual: Floats, trust: Floats, scale: float, block: NDArray[np.int64]) -> Floats:
    """A row a time block: how much its residuals move each coefficient."""
    inside = np.abs(residual) <= _BEND * scale
    pushed = trust * np.clip(residual, -_BEND * scale, _BEND * scale)
    blocks = int(block.max()) + 1
    scores = np.stack([np.bincount(block, weights=column * pushed, minlength=blocks) for column in x.T], axis=1)
    moved: Floats = scores @ np.linalg.pinv((x * (trust * inside)[:, None]).T @ x)
    return moved
