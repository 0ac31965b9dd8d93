"""A total timeout that follows max_tokens: first token + tokens x time per token, each at the share that the budget leaves."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from meshslo.analysis.bursts import BLOCK, LONG, design_effect
from meshslo.analysis.policy.durations import round_up
from meshslo.analysis.survival import LifeTable

PARTS: Final = 2
"""First token and time per token share budget and error between them (Bonferroni)."""


@dataclass(frozen=True)
class TokenTimeout:
    """Seconds that all but the budget's share of calls of up to `max_tokens` stay within, and what that is made of.

    value_s is None where calls are too few; needs_calls: how many more there must be.
    """

    max_tokens: int
    value_s: float | None
    first_token_s: float | None
    per_token_s: float | None
    needs_calls: int | None = None

    def at(self, tokens: int) -> float | None:
        """The same for calls of up to `tokens`, in seconds."""
        if self.first_token_s is None or self.per_token_s is None:
            return None
        return round_up(self.first_token_s + tokens * self.per_token_s)


def timeout_for_tokens(rows: pl.DataFrame, max_tokens: int, budget: float, confidence: float = 0.95) -> TokenTimeout:
    """The total timeout of streams of up to `max_tokens`, of rows of one group (see `rows.token_rows`).

    budget: share of calls that it may cut falsely. Where a timer cuts long streams today this still tells what they need: a cut
    stream shows its first token and its time per token too.
    """
    share, sure = 1.0 - budget / PARTS, 1.0 - (1.0 - confidence) / PARTS
    first_token = pl.coalesce("first_token_s", pl.when("cut").then("total_s"))
    seen = rows.with_columns(first_token.alias("first_s"), pl.col("first_token_s").is_not_null().alias("begun"))
    first = _upper(seen.filter(pl.col("first_s").is_not_null()), "first_s", "begun", share, sure)
    each = _upper(
        rows.filter(pl.col("per_token_s").is_not_null()).with_columns(begun=True), "per_token_s", "begun", share, sure
    )
    if isinstance(first, float) and isinstance(each, float):
        return TokenTimeout(max_tokens, round_up(first + max_tokens * each), first, each)
    missing = max(part for part in (first, each) if isinstance(part, int))
    return TokenTimeout(max_tokens, None, None, None, missing)


def _upper(rows: pl.DataFrame, column: str, finished: str, q: float, confidence: float) -> float | int:
    """The upper bound of a quantile in seconds; as a whole number how many more calls it takes."""
    values = rows[column].to_numpy()
    table = LifeTable.from_durations(values, rows[finished].to_numpy(), rows["weight"].to_numpy())
    careful = LifeTable(replace(table.tables, weight_sq=table.tables.weight_sq * _effect(rows, values)))
    found = careful.quantile(q, confidence)
    if found.status == "ok" and found.upper_s is not None:
        return found.upper_s
    return max(found.needs_calls or 1, 1)


def _effect(rows: pl.DataFrame, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """By what calls count for fewer since those of a minute hang together."""
    if not len(values):
        return 1.0
    minute = rows["start"].dt.truncate(BLOCK).rank("dense").cast(pl.Int64).to_numpy() - 1
    long = values > np.quantile(values, LONG)
    calls, longer = (np.bincount(minute, weights=each).astype(np.float64) for each in (np.ones(len(values)), long))
    return design_effect(calls, longer)
