"""Calls of a callee's pods, some of which fail or are slow, as the pods themselves saw them."""

import numpy as np
import polars as pl

from tests.support.calls import served_streams


def fleet_calls(
    count: int = 4000,
    *,
    pods: int = 4,
    failed: dict[int, float] | None = None,
    failing_from_s: float = 0.0,
    slower: dict[int, float] | None = None,
    prompts: dict[int, float] | None = None,
    base: float = 0.01,
    seed: int = 1,
) -> pl.DataFrame:
    """`count` streams of gateway>generator, five a second, spread evenly over pods.

    failed: share of failed answers of a pod (else `base`), from `failing_from_s` on; slower: its times over the others';
    prompts: the length of its prompts over the others', which takes as much longer.
    """
    rng = np.random.default_rng(seed)
    at_s, pod = np.arange(count) * 0.2, rng.integers(0, pods, count)

    def of_pod(given: dict[int, float] | None, default: float) -> np.ndarray:
        return np.array([(given or {}).get(n, default) for n in range(pods)])[pod]

    broke = rng.random(count) < np.where(at_s >= failing_from_s, of_pod(failed, base), base)
    prompt = 400 * of_pod(prompts, 1.0) * np.where(rng.random(count) < 0.5, 1, 8)
    first_s = (prompt * 5e-4) * rng.lognormal(0, 0.3, count) * of_pod(slower, 1.0)
    return served_streams(
        at_s,
        duration_s=np.where(broke, 0.05, first_s + 2.0),
        first_byte_s=np.where(broke, 0.05, first_s),
        first_token_s=np.where(broke, np.nan, first_s),
        chunks=np.where(broke, 0, 40),
        input_tokens=prompt.astype(int),
        status_code=np.where(broke, 500, 200),
        outcome=np.where(broke, "error", "ok"),
        pod=[f"generator-{n}" for n in pod],
    )
