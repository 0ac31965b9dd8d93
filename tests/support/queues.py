"""Calls of a callee with so many slots, whose truth is known: those beyond wait, and nothing else depends on load."""

import heapq

import numpy as np
import polars as pl

from tests.support.calls import make_call, make_calls


def queued_calls(
    slots: int, utilisation: float, *, count: int = 2000, seed: int = 1, swing_s: float = 50.0, **columns: object
) -> pl.DataFrame:
    """`count` calls of gateway>generator at a rate that swings around `utilisation` of what `slots` can serve, in `swing_s`.

    A call takes 0.3 s to its first token and 1.2 s more on average; one that finds no slot waits for one before.
    """
    rng = np.random.default_rng(seed)
    free_s = [0.0] * slots
    rows, at_s = [], 0.0
    for number in range(count):
        at_s += rng.exponential(1.5 / (slots * utilisation * (1.0 + 0.9 * np.sin(2.0 * np.pi * at_s / swing_s))))
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


def shared_calls(contention: float, coherency: float, *, most: int = 60, seed: int = 1) -> pl.DataFrame:
    """Answers of a service that shares itself out by the universal scalability law, under 1 to `most` calls at a time.

    So many users ask again as soon as they are answered, in stretches of four seconds; alone a call takes 0.05 s.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for stretch, users in enumerate(rng.permutation(np.arange(1, most + 1, 2))):
        slowness = 1.0 + contention * (users - 1) + coherency * users * (users - 1)
        for _ in range(users):
            took_s = 0.05 * slowness * rng.lognormal(-0.02, 0.2, int(80.0 / slowness) + 1)
            begun_s = 4.0 * stretch + np.concatenate([[0.0], np.cumsum(took_s)[:-1]])
            rows += [
                make_call(at_s=at_s, duration_s=s, first_byte_s=s, streaming=False, chunks=1, vantage="client")
                for at_s, s in zip(begun_s.tolist(), took_s.tolist(), strict=True)
                if at_s + s <= 4.0 * (stretch + 1)
            ]
    return make_calls(rows)
