"""Many samples at once, to see how often an interval holds the truth: a life table of each, worked out together."""

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.analysis import histogram
from meshslo.analysis.lifetables import LifeTables
from meshslo.analysis.quantile import Quantiles
from meshslo.analysis.tables import build

Floats = NDArray[np.float64]


def life_tables_of(durations_s: Floats, finished: NDArray[np.bool_] | None = None) -> LifeTables:
    """The life table of each row of `durations_s`; `finished` is False for a call that was cut (None: none was)."""
    samples, calls = durations_s.shape
    columns = {
        "group": np.repeat(np.arange(samples), calls),
        "index": histogram.index_of(durations_s.ravel()),
        "event": np.ones(samples * calls, dtype=bool) if finished is None else finished.ravel(),
    }
    counted = pl.DataFrame(columns).group_by("group", "index", "event").agg(pl.len().alias("count")).sort("group", "index")
    weighed = counted.with_columns(weight=pl.col("count").cast(pl.Float64), weight_sq=pl.col("count").cast(pl.Float64))
    return build(weighed, durations_s.max(axis=1), histogram.SCALE)


def held(found: Quantiles, truth: float) -> NDArray[np.bool_]:
    """Of the samples that tell the quantile, which ones' intervals hold `truth`; an end that is not there is open."""
    told = found.status != "not_identifiable"
    low, high = np.nan_to_num(found.low_s[told], nan=0.0), np.nan_to_num(found.high_s[told], nan=math.inf)
    return np.asarray((low <= truth) & (truth <= high))
