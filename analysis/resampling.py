"""Resampled blocks of time: what hangs together is drawn together, so that bursts are in the interval.

Sources: Efron 1979 (bootstrap); Kuensch 1989 (blocks); methods of block bootstrap ask for twenty blocks or more. Hesterberg
2015, section 5.1 (percentiles of few items, expanded).
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

FEWEST_BLOCKS: Final = 20
"""Fewer blocks do not show how blocks differ: then each item is a block of its own."""

MOST_BLOCKS: Final = 200
"""More say no more: neighbours are joined, which keeps together what hangs together for longer."""


def resample(blocks: int, times: int, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """`times` times, how often each of `blocks` blocks is drawn where as many as there are are drawn with replacement."""
    for _ in range(times):
        yield np.bincount(rng.integers(0, blocks, blocks), minlength=blocks).astype(np.float64)


def time_blocks(start: pl.Series, every: str = "1m") -> NDArray[np.int64]:
    """The number of the time block of each moment, from 0: of the minutes with moments in them, at most `MOST_BLOCKS` together.

    Each moment is a block of its own where there are fewer than `FEWEST_BLOCKS` minutes.
    """
    numbers = start.dt.truncate(every).rank("dense").cast(pl.Int64).to_numpy() - 1
    blocks = int(numbers.max(initial=-1)) + 1
    if blocks < FEWEST_BLOCKS:
        return np.arange(len(numbers), dtype=np.int64)
    return numbers // -(-blocks // MOST_BLOCKS)


def limits(drawn: NDArray[np.float64], blocks: int, confidence: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentiles of what resamples say (one a row), between which the truth is with `confidence` given so many `blocks`.

    Plain percentiles are as narrow as normal ones of the spread divided by n rather than n - 1. So they are taken further out,
    as Student's distribution asks: of 60 blocks at 95 % the 2.2 % and 97.8 % ones.
    """
    beyond = stdtrit(max(blocks - 1, 1), 0.5 - confidence / 2.0) * np.sqrt(blocks / max(blocks - 1, 1))
    tail = float(ndtr(beyond))
    # The next resample is as likely to fall between any two neighbours of so many, or before or beyond all of them.
    low, high = np.quantile(drawn, [tail, 1.0 - tail], axis=0, method="weibull")
    return low, high
