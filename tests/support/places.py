"""Calls of gateway>generator that two places answered, one of them with outages."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from .calls import make_call, make_calls


def placed_calls(
    count: int = 1200,
    *,
    by: str = "cluster",
    probes: float = 0.08,
    outages: Sequence[tuple[float, float]] = (),
    pods: int = 2,
    slower: float = 1.0,
    fails: float = 0.0,
    models: tuple[str, str] = ("m", "m"),
    rate_per_s: float = 4.0,
) -> pl.DataFrame:
    """Streams answered in east, by `pods` pods in turn, and a share of `probes` in west.

    outages: seconds from and until which east answers 503; slower, fails: west's first tokens beside east's, its failures.
    """
    rng = np.random.default_rng(11)
    rows: list[dict[str, Any]] = []
    at_s = 0.0
    for number in range(count):
        at_s += rng.exponential(1.0 / rate_per_s)
        west = rng.random() < probes
        place = "west" if west else "east"
        first_s = 0.3 * rng.lognormal(0, 0.2) * (slower if west else 1.0)
        down = rng.random() < fails if west else any(since <= at_s < until for since, until in outages)
        seen = {"status_code": 503, "outcome": "error", "duration_s": 0.01, "first_byte_s": 0.01}
        well = {"status_code": 200, "duration_s": first_s + 1.0, "first_byte_s": 0.02, "first_token_s": first_s, "chunks": 20}
        tokens = {"input_tokens": 1000, "output_tokens": 0 if down else 100}
        where = (
            {"cluster": place, "pod": f"{place}-{number % pods}"}
            if by == "cluster"
            else {"provider": place, "vantage": "client"}
        )
        rows.append(make_call(at_s=at_s, model=models[west], **(seen if down else well), **tokens, **where))
    return make_calls(rows)
