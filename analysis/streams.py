"""What streams deliver and what those cost that did not end well: chunks or tokens made in vain, and the time held for them."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from meshslo.telemetry.outcome import FLAG_OUTCOMES
from meshslo.telemetry.vocabulary import OUTCOMES, VANTAGES

STREAMS: Final = pl.coalesce("streaming", pl.col("first_token_s").is_not_null())
"""Of a call row: whether it streams, as it was told, else by whether somebody saw its first token."""

_TOKENS: Final = pl.coalesce("output_tokens", "chunks", pl.lit(0)).cast(pl.Int64)
_VAIN: Final = pl.col("outcome") != "ok"


def stream_costs(calls: pl.LazyFrame, by: Sequence[str] = ("hop",)) -> pl.DataFrame:
    """Streams of each group `by`, each hop from the outermost vantage that saw chunks, else from the outermost there is.

    Streams are the calls of hops and routes that somebody saw answer in several chunks, as far as they are known to stream.
    One that its callee saw cancelled was cut by a timer where another vantage saw a timer of that hop fire in its trace: who
    answers does not learn why the caller's proxy left.

    Columns: the keys, vantage, calls (streams), the number of each outcome, tokens and tokens_in_vain (of streams that did
    not end well), held_s and held_in_vain_s. A stream without a token count counts its chunks, one at least a token.
    """
    keys = list(dict.fromkeys(by))
    streams = _with_timers(outermost(_streams(calls), pl.col("chunks").is_not_null().any()), calls)
    held_s = pl.col("duration_s").fill_nan(None)
    return (
        streams.group_by(*keys, "vantage")
        .agg(
            pl.len().cast(pl.Int64).alias("calls"),
            *((pl.col("outcome") == outcome).sum().cast(pl.Int64).alias(outcome) for outcome in OUTCOMES),
            _TOKENS.sum().alias("tokens"),
            _TOKENS.filter(_VAIN).sum().alias("tokens_in_vain"),
            held_s.sum().alias("held_s"),
            held_s.filter(_VAIN).sum().alias("held_in_vain_s"),
        )
        .sort(*keys, "vantage", nulls_last=True)
        .collect()
    )


def cut_reasons(calls: pl.LazyFrame, by: Sequence[str] = ("hop",)) -> pl.DataFrame:
    """Why calls were cut or left, as the outermost proxy of each hop flagged them: the keys, vantage, flag, outcome, calls.

    Empty where no proxy told. Flags are Envoy's: UT the whole call's timer, SI the idle timer, DC the caller left.
    """
    keys = list(dict.fromkeys(by))
    proxies = calls.filter(pl.col("vantage").is_in(["proxy_out", "proxy_in"]))
    flagged = outermost(proxies, pl.col("response_flags").is_not_null().any()).filter(pl.col("response_flags").is_not_null())
    ends = [flag for flag, outcome in FLAG_OUTCOMES.items() if outcome in ("timeout", "cancelled")]
    return (
        flagged.with_columns(pl.col("response_flags").str.split(",").alias("flag"))
        .explode("flag")
        .filter(pl.col("flag").is_in(ends))
        .group_by(*keys, "vantage", "flag")
        .agg(pl.len().cast(pl.Int64).alias("calls"))
        .with_columns(pl.col("flag").replace_strict(FLAG_OUTCOMES, return_dtype=pl.String).alias("outcome"))
        .sort(*keys, "calls", "flag", descending=[*[False] * len(keys), True, False], nulls_last=True)
        .collect()
    )


def _streams(calls: pl.LazyFrame) -> pl.LazyFrame:
    """Calls that stream, of hops and routes of which somebody saw two chunks of one answer: an answer in one is no stream."""
    seen = calls.filter(pl.col("chunks") > 1).select("hop", "route").unique()
    return calls.filter(STREAMS).join(seen, on=["hop", "route"], how="semi", nulls_equal=True)


def _with_timers(streams: pl.LazyFrame, calls: pl.LazyFrame) -> pl.LazyFrame:
    """`streams`, those that were left as cut by a timer where a vantage of `calls` saw one."""
    fired = calls.filter(pl.col("outcome") == "timeout").select("trace_id", "hop").unique().with_columns(fired=True)
    was_cut = (pl.col("outcome") == "cancelled") & pl.col("fired").fill_null(value=False)
    told = pl.when(was_cut).then(pl.lit("timeout")).otherwise("outcome").alias("outcome")
    return streams.join(fired, on=["trace_id", "hop"], how="left").with_columns(told).drop("fired")


def outermost(calls: pl.LazyFrame, seen: pl.Expr) -> pl.LazyFrame:
    """The calls of one vantage a hop: the outermost of which `seen` holds, else the outermost."""
    order = pl.col("vantage").cast(pl.Enum(VANTAGES))
    picked = (
        calls.group_by("hop", "vantage")
        .agg(seen.alias("seen"))
        .sort("hop", "seen", order, descending=[False, True, False])
        .unique(["hop"], keep="first", maintain_order=True)
        .select("hop", "vantage")
    )
    return calls.join(picked, on=["hop", "vantage"], how="semi")
