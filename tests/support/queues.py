"""Calls of a callee with so many slots, whose truth is known: those beyond wait, and nothing else depends on load."""

import heapq

import numpy as np
import polars as pl

from tests.support.calls import make_call, make_calls


def queued_calls(slots: int, utilisation: float, *, count: int = 2000, seed: int = 1, **columns: object) -> pl.DataFrame:
    """`count` calls of gateway>generator at a rate that swings around `utilisation` of what `slots` can serve.

    A call takes 0.3 s to its first token and 1.2 s more on average; one that finds no slot waits for one before.
    """
    rng = np.random.default_rng(seed)
    free_s = [0.0] * slots
    rows, at_s = [], 0.0
    for number in range(count):
        at_s += rng.exponential(1.5 / (slots * utilisation * (1.0 + 0.9 * np.sin(at_s / 8.0))))
        begins_s = max(at_s, heapq.heappop(free_s))
        first_s, rest_s = 0.3 * rng.lognormal(0.0, 0.15), 1.2 * rng.lognormal(-0.125, 0.5)
        heapq.heappush(free_s, begins_s + first_s + rest_s)
        waited_s = begins_s - at_s
        rows.append(
            make_call(
                at_s=at_s,
                first_token_s=waited_s + first_s,
                first_byte_s=waited_s + first_s,
                duration_s=waited_s + first_s + rest_s,
                chunks=20,
                output_tokens=20,
                pod=f"gateway-{number % 2}",
                **{"vantage": "client"} | columns,
            )
        )
    return make_calls(rows)
