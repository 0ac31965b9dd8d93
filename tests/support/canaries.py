"""Calls of a baseline and a candidate whose difference is known."""

import numpy as np
import polars as pl

from tests.support.calls import served_streams


def versions(
    count: int,
    *,
    seed: int = 1,
    weight: float = 0.2,
    failed: tuple[float, float] = (0.01, 0.01),
    slower: float = 1.0,
    longer_prompts: float = 1.0,
    cap_s: float | None = None,
) -> pl.DataFrame:
    """Streams of gateway>generator at server vantage, version v2 with a chance of `weight`, else v1; four a second.

    failed: shares of failed calls of v1 and v2; slower: v2's times over v1's; longer_prompts: v2's prompts over v1's, which
    take longer by as much, on both. cap_s: a timer that cuts both.
    """
    rng = np.random.default_rng(seed)
    new = rng.random(count) < weight
    prompt = 200 * np.where(rng.random(count) < 0.5, 1.0, 16.0) * np.where(new, longer_prompts, 1.0)
    pace = np.where(new, slower, 1.0)
    first_s = (0.2 + prompt * 2e-4) * rng.lognormal(0, 0.3, count) * pace
    tokens = rng.integers(20, 200, count)
    per_token_s = 0.02 * rng.lognormal(0, 0.2, count) * pace
    total_s = first_s + tokens * per_token_s
    broke = rng.random(count) < np.where(new, failed[1], failed[0])
    cut = np.zeros(count, dtype=bool) if cap_s is None else total_s > cap_s
    seen_s = np.where(cut, cap_s or 0.0, total_s)
    made = np.where(cut, np.clip((seen_s - first_s) / per_token_s, 0, tokens), tokens).astype(int)
    return served_streams(
        np.arange(count) * 0.25,
        duration_s=seen_s,
        first_byte_s=first_s,
        first_token_s=np.where(first_s < seen_s, first_s, np.nan),
        max_gap_s=3 * per_token_s,
        open_gap_s=np.where(cut, per_token_s / 2, np.nan),
        chunks=made,
        output_tokens=made,
        input_tokens=prompt.astype(int),
        outcome=np.where(broke, "error", np.where(cut, "timeout", "ok")),
        version=np.where(new, "v2", "v1"),
    )
