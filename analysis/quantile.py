"""What an estimate answers: a value with its interval, a lower bound, or how many more calls it takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Status = Literal["ok", "at_least", "not_identifiable"]
"""A value; a lower bound (every longer call was cut); nothing yet."""


@dataclass(frozen=True)
class Quantile:
    """The duration within which a share `q` of calls end.

    value_s is the survival estimate (a lower bound where status is `at_least`); [low_s, high_s] its confidence interval, an
    end of None is open; upper_s the one-sided upper bound at the same confidence. needs_calls: how many more calls until an
    upper bound exists. completed_value_s: the naive quantile of the calls that were seen to their end, cut ones left out.
    """

    q: float
    value_s: float | None
    low_s: float | None
    high_s: float | None
    status: Status
    needs_calls: int | None = None
    completed_value_s: float | None = None
    upper_s: float | None = None


@dataclass(frozen=True, eq=False)
class Quantiles:
    """One quantile of every group; seconds, NaN where there is none. `status` as in `Status`."""

    value_s: NDArray[np.float64]
    low_s: NDArray[np.float64]
    high_s: NDArray[np.float64]
    upper_s: NDArray[np.float64]
    completed_value_s: NDArray[np.float64]
    status: NDArray[np.str_]
    needs_calls: NDArray[np.int64]

    def of(self, place: int, q: float) -> Quantile:
        """That of the group at `place`; `q` is the share that all of these are of."""

        def number(values: NDArray[np.float64]) -> float | None:
            return None if math.isnan(values[place]) else float(values[place])

        status = str(self.status[place])
        return Quantile(
            q=q,
            value_s=number(self.value_s),
            low_s=number(self.low_s),
            high_s=number(self.high_s),
            status=status,  # type: ignore[arg-type]  # one of the three words, from an array of strings
            needs_calls=int(self.needs_calls[place]) if status == "not_identifiable" else None,
            completed_value_s=number(self.completed_value_s),
            upper_s=number(self.upper_s),
        )


def joined(parts: Sequence[Quantiles]) -> Quantiles:
    """The quantiles of all groups, given those of some after the other."""
    return Quantiles(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Quantiles)))


@dataclass(frozen=True)
class Interval:
    """An estimate between its confidence limits."""

    estimate: float
    low: float
    high: float


def calls_needed(q: float, confidence: float = 0.95) -> int:
    """How many calls until the largest is an upper bound of the `q` quantile: 1 - q ** n >= confidence.

    Source: Wilks 1941.

    >>> calls_needed(0.95), calls_needed(0.99), calls_needed(0.999)
    (59, 299, 2995)
    """
    check_share("q", q)
    check_share("confidence", confidence)
    return math.ceil(math.log1p(-confidence) / math.log(q))


def check_share(name: str, value: float) -> None:
    """ValueError unless 0 < value < 1."""
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name}={value} is outside (0, 1); pass 0.99 for 99 %")
