"""How the evidence of a comparison grew: the bettor's money for each verdict over time, against what decides."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .betting import log_wealth
from .pairs import Pairs

Floats = NDArray[np.float64]

POINTS: Final = 120
"""Looks that are kept, evenly over the pairs: a picture shows no more."""


@dataclass(frozen=True)
class Look:
    """What was known by `at`, the start of the last call compared: shares of the evidence that decides, 1 and more is sure.

    worse: that the candidate is worse. within: that it is within its margin.
    """

    at: datetime
    pairs: int
    worse: float
    within: float


@dataclass(frozen=True)
class Course:
    """One measure's looks in order; none where no pair closed yet."""

    name: str
    looks: tuple[Look, ...]


def course(name: str, pairs: Pairs, margin: float, alpha: float) -> Course:
    """The looks at a comparison whose limits hold with 1 - alpha, as `betting.difference` has them."""
    count = len(pairs.low)
    if count == 0:
        return Course(name, ())
    needed = float(np.log(2.0 / alpha))
    worse, within = (log_wealth(values, d) / needed for values, d in ((pairs.low, 0.0), (-pairs.high, -margin)))
    chosen = np.unique(np.linspace(0, count - 1, POINTS).round().astype(int)).tolist()
    return Course(name, tuple(Look(pairs.at[n], n + 1, _share(worse, n), _share(within, n)) for n in chosen))


def _share(evidence: Floats, place: int) -> float:
    return max(0.0, float(evidence[place]))
