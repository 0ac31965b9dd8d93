"""Streams of one model whose tokens and paces are known."""

import numpy as np
import polars as pl

from meshslo.telemetry.schema import conform

from .calls import EPOCH


def streams(seed: int, n: int = 3000, *, cap_s: float = np.inf, tokens: float = 200.0, pace: float = 0.02) -> pl.DataFrame:
    """Streams of model m with paces of their own, first tokens after about 0.3 s; a timer cuts at `cap_s`."""
    rng = np.random.default_rng(seed)
    count = np.ceil(rng.exponential(tokens, n)) + 1
    first = rng.lognormal(np.log(0.3), 0.3, n)
    each = pace * rng.lognormal(0.0, 0.2, n)
    whole = first + (count - 1) * each
    cut = whole > cap_s
    seen = np.where(cut, np.floor((cap_s - first) / each) + 1, count)
    return conform(
        pl.DataFrame(
            {
                "start": EPOCH,
                "at": rng.uniform(0, 7200, n),
                "duration_s": np.minimum(whole, cap_s),
                "first_token_s": first,
                "max_gap_s": 2 * each,
                "open_gap_s": np.where(cut, cap_s - first - (seen - 1) * each, np.nan),
                "chunks": seen.astype(int),
                "output_tokens": np.where(cut, np.nan, count),
                "input_tokens": rng.integers(100, 1000, n),
                "outcome": np.where(cut, "timeout", "ok"),
            }
        )
        .with_columns(pl.col("open_gap_s", "output_tokens").fill_nan(None))
        .with_columns(
            start=(pl.col("start") + pl.duration(milliseconds=pl.col("at") * 1000)), streaming=True, model=pl.lit("m")
        )
        .with_columns(hop=pl.lit("gateway>generator"), route=pl.lit("/v1/chat"), vantage=pl.lit("client"))
        .drop("at")
    )
