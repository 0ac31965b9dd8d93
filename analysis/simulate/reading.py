"""Calls to requests and attempts: every hop from the vantage that sees single attempts best.

What only other vantages saw of an attempt (first token, gaps, tokens) is taken from there.
"""

from typing import Final

import numpy as np
import polars as pl

from meshslo.analysis.recommend.failures import ATTEMPT_VANTAGES
from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.vocabulary import UNKNOWN

from .kinds import KIND, TIMER, Ints, Kind, Timer
from .replay import GROUP, KEYS, Attempts, Replay, Requests

MAX_LEVELS: Final = 16
"""Chains that seem deeper are circles of names; what lies beyond counts as called from outside."""

_FILLED: Final = ("first_token_s", "max_gap_s", "open_gap_s", "chunks", "output_tokens", "streaming")
_COLUMNS: Final = (
    "trace_id", "span_id", "parent_span_id", "start", "duration_s", "first_byte_s", "caller", "callee", "vantage", "hop",
    "route", "status_code", "grpc_status", "response_flags", "outcome", "model", "tenant", "attempt", "weight", *_FILLED,
)  # fmt: skip


def read(calls: pl.LazyFrame) -> Replay:
    """The requests and attempts in call rows (`telemetry.schema`).

    BadInputError where there is none that can be replayed.
    """
    known = ~pl.col("hop").str.starts_with(f"{UNKNOWN}>") & ~pl.col("hop").str.ends_with(f">{UNKNOWN}")
    every = calls.select(_COLUMNS).collect()
    rows = every.filter(known)
    chosen = _best_vantage(rows)
    timed = chosen.filter(pl.col("duration_s").is_not_null() | (pl.col("outcome") == "rejected"))
    if timed.is_empty():
        raise BadInputError(
            f"none of {every.height:,} calls can be replayed: that takes a duration and to know who called whom; "
            "`meshslo doctor` says what is missing"
        )
    ready = _with_whole(_numbered(_completed(timed, rows)), rows)
    return _as_arrays(ready, _parents(ready), chosen.height - timed.height)


def _best_vantage(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of the best vantage of each hop, and what a proxy refused before any attempt."""
    order = {name: number for number, name in enumerate(ATTEMPT_VANTAGES)}
    ranked = rows.with_columns(pl.col("vantage").replace_strict(order, default=None, return_dtype=pl.Int8).alias("rank"))
    ranked = ranked.filter(pl.col("rank").is_not_null())
    best = pl.col("rank") == pl.col("rank").min().over("hop")
    refused = ranked.filter(~best & (pl.col("vantage") == "proxy_in") & (pl.col("outcome") == "rejected"))
    chosen = ranked.filter(best)
    return pl.concat([chosen, refused.join(chosen, on=["trace_id", "hop"], how="anti")]).drop("rank")


def _completed(chosen: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """`chosen` with what only another vantage of the same attempt saw: the n-th of its trace, hop and number."""
    if chosen.height == rows.height:
        return chosen
    others = rows.join(chosen.select("hop", "vantage").unique(), on=["hop", "vantage"], how="anti")
    others = others.filter(pl.any_horizontal(pl.col(_FILLED).is_not_null()), pl.col("trace_id").is_not_null())
    if others.is_empty():
        return chosen
    key = ["trace_id", "hop", "attempt"]
    each = others.with_columns(pl.int_range(pl.len()).over([*key, "vantage"], order_by="start").alias("nth"))
    told = each.group_by([*key, "nth"]).agg(pl.col(_FILLED).drop_nulls().max())
    nth = chosen.with_columns(pl.int_range(pl.len()).over(key, order_by="start").alias("nth"))
    joined = nth.join(told, on=[*key, "nth"], how="left", suffix="_told")
    return joined.with_columns(pl.coalesce(name, f"{name}_told").alias(name) for name in _FILLED).select(chosen.columns)


def _numbered(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows by request and time, with `trace` (a number), `request` (from 0) and `number` (from 1).

    Attempts of one request share trace, hop and parent, and count up; a call without a trace is a request of its own.
    """
    number = pl.col("attempt").fill_null(1)
    alone = pl.int_range(pl.len(), dtype=pl.UInt64)
    trace = pl.when(pl.col("trace_id").is_null()).then(alone).otherwise(pl.col("trace_id").hash())
    place = ["trace", "parent_span_id", "hop"]
    ordered = rows.with_columns(trace.alias("trace")).sort(*place, "start", "attempt")
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in place)
    begins = ~(same & (number > number.shift())).fill_null(value=False)
    with_request = ordered.with_columns((begins.cum_sum().cast(pl.Int64) - 1).alias("request"))
    return with_request.with_columns(
        (pl.int_range(pl.len()).over("request") + 1).alias("number"), pl.int_range(pl.len()).alias("row")
    )


def _with_whole(rows: pl.DataFrame, every: pl.DataFrame) -> pl.DataFrame:
    """`rows` with kind and timer, and how the proxy that made the attempts saw the request as a whole end, where it told."""
    judged = rows.with_columns(KIND.alias("kind"), TIMER.alias("timer"))
    received = every.filter(pl.col("vantage") == "proxy_in").select(
        "trace_id", "hop", pl.col("span_id").alias("parent_span_id"), KIND.alias("whole_kind"), TIMER.alias("whole_timer"),
        pl.col("duration_s").alias("whole_s"),
    )  # fmt: skip
    received = received.unique(["trace_id", "hop", "parent_span_id"], maintain_order=True)
    return judged.join(received, on=["trace_id", "hop", "parent_span_id"], how="left", maintain_order="left")


def _parents(rows: pl.DataFrame) -> Ints:
    """The attempt that made each request, -1 where none is known: the last of its caller that began before it in its trace."""
    firsts = rows.filter(pl.col("number") == 1).select("request", "trace", "start", pl.col("caller").alias("who"))
    makers = rows.filter(pl.col("trace_id").is_not_null()).select(
        "trace", "start", pl.col("callee").alias("who"), "row", pl.col("request").alias("of")
    )
    asked, makers = firsts.drop_nulls("who").sort("start"), makers.drop_nulls("who").sort("start")
    parent = np.full(firsts.height, -1, np.int64)
    # A clock that runs late puts a call before the one that made it: then the first that follows.
    for strategy in ("forward", "backward"):
        found = asked.join_asof(makers, on="start", by=["trace", "who"], strategy=strategy, check_sortedness=False)
        found = found.filter(pl.col("row").is_not_null(), pl.col("of") != pl.col("request"))
        parent[found["request"].to_numpy()] = found["row"].to_numpy()
    return parent


def _levels(parent: Ints, request_of: Ints) -> tuple[Ints, Ints]:
    """The level of each request, and the parents without those of circles."""
    above = np.where(parent >= 0, request_of[parent], -1)
    level = np.zeros(len(parent), np.int64)
    for _ in range(MAX_LEVELS):
        level = np.where(above >= 0, level[above] + 1, 0)
    circles = level >= MAX_LEVELS
    return np.where(circles, 0, level), np.where(circles, -1, parent)


def _as_arrays(rows: pl.DataFrame, parent: Ints, ignored: int) -> Replay:
    request_of = rows["request"].to_numpy()
    level, parent = _levels(parent, request_of)
    leveled = rows.with_columns(pl.Series("level", level[request_of]))
    groups = leveled.select(GROUP).unique().sort(GROUP, nulls_last=False).with_row_index("group")
    grouped = leveled.join(groups, on=GROUP, how="left", nulls_equal=True, maintain_order="left")
    attempts = _attempts(grouped)
    firsts = grouped.filter(pl.col("number") == 1)
    return Replay(attempts, _requests(grouped, attempts, parent, level), groups.drop("group"), firsts.select(KEYS), ignored)


_SILENCE: Final = pl.max_horizontal(pl.col("first_token_s") - pl.col("first_byte_s").fill_null(0.0), "max_gap_s", "open_gap_s")
_AT_ONCE: Final = ~pl.col("streaming").fill_null(value=True) | (pl.col("chunks") <= 1).fill_null(value=False)
_TOKENS: Final = pl.coalesce("output_tokens", pl.when(pl.col("chunks") > 1).then("chunks"))


def _attempts(rows: pl.DataFrame) -> Attempts:
    begin = pl.col("start").first().over("request")
    silence = pl.when(_AT_ONCE & (pl.col("outcome") == "ok")).then(pl.coalesce(_SILENCE, pl.lit(0.0))).otherwise(_SILENCE)
    repeated = (pl.col("number") < pl.len().over("request")) & (pl.col("kind") == Kind.CUT)
    ready = rows.select(
        "request", "number", "kind", pl.col("group").cast(pl.Int64), pl.col("duration_s").fill_null(0.0),
        ((pl.col("start") - begin).dt.total_nanoseconds() / 1e9).alias("offset_s"),
        pl.col("first_byte_s").fill_null(float("nan")), pl.col("first_token_s").fill_null(float("nan")),
        silence.fill_null(float("nan")).alias("silence_s"),
        _TOKENS.fill_null(0).cast(pl.Float64).alias("tokens"),
        # A call that was cut and repeated was cut by the timer of one try.
        pl.when(repeated).then(Timer.PER_TRY).otherwise("timer").cast(pl.Int8).alias("timer"),
        pl.col("status_code").fill_null(0).cast(pl.Int64), pl.col("grpc_status").fill_null(0).cast(pl.Int64),
    )  # fmt: skip
    names = {"headers_s": "first_byte_s", "code": "status_code", "grpc": "grpc_status"}
    return Attempts(**{name: ready[names.get(name, name)].to_numpy() for name in Attempts.__annotations__})


def _requests(rows: pl.DataFrame, attempts: Attempts, parent: Ints, level: Ints) -> Requests:
    first = np.flatnonzero(attempts.number == 1)
    last = np.append(first[1:], len(attempts)) - 1
    start = rows["start"].cast(pl.Int64).to_numpy()
    whole = rows.select("whole_kind", "whole_timer", "whole_s")[first]
    told = whole["whole_kind"].is_not_null().to_numpy()
    kind = np.where(told, whole["whole_kind"].fill_null(0).to_numpy(), attempts.kind[last]).astype(np.int8)
    timer = np.where(told, whole["whole_timer"].fill_null(0).to_numpy(), attempts.timer[last]).astype(np.int8)
    ended_s = attempts.offset_s[last] + attempts.duration_s[last]
    duration_s = np.where(told, whole["whole_s"].fill_null(0.0).to_numpy(), ended_s)
    own = pl.col("streaming").fill_null(value=False) | (pl.col("chunks") > 1).fill_null(value=False)
    streamed = rows.select(own.any().over("trace"))["streaming"].to_numpy()[first]
    return Requests(
        start_s=(start[first] - start.min(initial=start[0] if len(start) else 0)) / 1e9,
        first=first,
        parent=parent,
        level=level,
        weight=rows["weight"][first].fill_null(1.0).to_numpy(),
        kind=kind,
        timer=timer,
        duration_s=duration_s,
        leaves_s=np.where((kind == Kind.LEFT) & (level == 0), duration_s, np.inf),
        streamed=streamed,
    )
