"""Recommendations for 500 targets (25 hops x 5 routes x 4 models) from half a million calls: rolling up, then all answers."""

import statistics
import time
from typing import Any, Final

import numpy as np
import polars as pl

from meshslo.analysis.recommend import observe, recommend
from meshslo.telemetry.schema import conform

CALLS: Final = 500_000
HOPS, ROUTES, MODELS = 25, 5, 4
RUNS: Final = 3
NEEDED_S: Final = 5.0


def calls() -> pl.DataFrame:
    """Streams whose models differ, ten a second."""
    rng = np.random.default_rng(0)
    number = np.arange(CALLS)
    hop, route, model = (rng.integers(0, top, CALLS) for top in (HOPS, ROUTES, MODELS))
    first_s = rng.lognormal(-1, 0.4, CALLS)
    ids = pl.Series(number).cast(pl.String)
    start = np.datetime64("2026-11-02T09:00:00", "ns") + number * np.timedelta64(100, "ms")
    return conform(
        pl.DataFrame(
            {
                "trace_id": ids.str.zfill(16).cast(pl.Binary),
                "span_id": ids.str.zfill(8).cast(pl.Binary),
                "start": pl.Series(start).dt.replace_time_zone("UTC"),
                "duration_s": first_s + rng.lognormal(0, 0.6, CALLS) * (1 + model),
                "first_byte_s": first_s * 0.99,
                "first_token_s": first_s,
                "max_gap_s": rng.lognormal(-3, 0.3, CALLS),
                "chunks": rng.integers(5, 200, CALLS),
                "hop": pl.Series(hop).replace_strict({n: f"gateway>s{n}" for n in range(HOPS)}),
                "route": pl.Series(route).replace_strict({n: f"/r{n}" for n in range(ROUTES)}),
                "model": pl.Series(model).replace_strict({n: f"m{n}" for n in range(MODELS)}),
            }
        ).with_columns(vantage=pl.lit("client"), outcome=pl.lit("ok"), streaming=pl.lit(value=True), attempt=pl.lit(1))
    )


def run() -> dict[str, Any]:
    """Median seconds of rolling up and of recommending, wall clock."""
    frame = calls()
    rolling, answering, answers = [], [], 0
    for _ in range(RUNS):
        began = time.perf_counter()
        observed = observe(frame.lazy())
        rolled = time.perf_counter()
        answers = len(recommend(observed).items)
        rolling.append(rolled - began)
        answering.append(time.perf_counter() - rolled)
    return {
        "targets": HOPS * ROUTES * MODELS,
        "calls": CALLS,
        "answers": answers,
        "roll_up_s": statistics.median(rolling),
        "recommend_s": statistics.median(answering),
        "needed_s": NEEDED_S,
    }
