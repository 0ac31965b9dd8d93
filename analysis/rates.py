"""How fast streams deliver: output tokens a second, from the first token to the end."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from .streams import STREAMS, outermost
from .survival import LifeTable

SLOWER: Final = (0.05, 0.5, 0.95)
"""Shares of streams that are slower than what is answered."""

_COLUMNS: Final = {
    "streams": pl.Int64,
    "q": pl.Float64,
    "tokens_per_s": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "status": pl.String,
    "needs_calls": pl.Int64,
}


def token_rates(calls: pl.LazyFrame, by: Sequence[str] = ("hop",), slower: Sequence[float] = SLOWER) -> pl.DataFrame:
    """Of each group `by` the rates that a share `q` of its streams stay below, as the outermost that counts tokens saw them.

    A stream's rate is output_tokens / (duration - first token); streams that were cut have one up to there, and an answer in
    one chunk has none: all its tokens came at once. Columns: the keys, vantage, streams, q, tokens_per_s with a 95 % interval
    low to high (null where open), status and needs_calls as a quantile has them. The rates are those of a histogram of
    seconds a token, so at most 0.55 % off.
    """
    keys = list(dict.fromkeys(by))
    known = calls.filter(_SECONDS.is_not_null())
    per_token = outermost(known, pl.len() > 0).select(*keys, "vantage", _SECONDS.alias("s"), pl.col("weight").fill_null(1.0))
    rows = []
    for group, part in per_token.collect().partition_by([*keys, "vantage"], as_dict=True, include_key=False).items():
        table = LifeTable.from_durations(part["s"].to_numpy(), weights=part["weight"].to_numpy())
        rows += [(*map(_plain, group), part.height, *_rate(table, q)) for q in slower]
    named = dict.fromkeys([*keys, "vantage"], pl.String)
    return pl.DataFrame(rows, schema={**named, **_COLUMNS}, orient="row").sort(*keys, "q", nulls_last=True)


_TAKES_TIME: Final = STREAMS & (pl.col("chunks") > 1).fill_null(value=True) & (pl.col("duration_s") > pl.col("first_token_s"))
_SECONDS: Final = pl.when(_TAKES_TIME & (pl.col("output_tokens") > 0)).then(
    (pl.col("duration_s") - pl.col("first_token_s")) / pl.col("output_tokens")
)
"""Seconds a token; null where it is not known."""


def _rate(table: LifeTable, q: float) -> tuple[float, float | None, float | None, float | None, str, int | None]:
    """The rate that a share `q` of streams stay below: the seconds a token that 1 - q of them stay within, the other way up."""
    found = table.quantile(1.0 - q)
    rate, low, high = (None if seconds is None else 1.0 / seconds for seconds in (found.value_s, found.high_s, found.low_s))
    return q, rate, low, high, found.status, found.needs_calls


def _plain(value: object) -> str | None:
    return None if value is None else str(value)
