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
    return _as_arrays(ready, chosen.height - timed.height)


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
    """Rows by request and time, with `trace` and `place` as numbers, and `begins`, true of each first attempt.

    Attempts of one request share trace, hop and parent, and count up; a call without a trace is a request of its own.
    """
    number = pl.col("attempt").fill_null(1)
    alone = pl.int_range(pl.len(), dtype=pl.UInt64)
    trace = pl.when(pl.col("trace_id").is_null()).then(alone).otherwise(pl.col("trace_id").hash())
    place = pl.col("trace") ^ pl.col("parent_span_id").hash(1) ^ pl.col("hop").hash(2)
    ordered = rows.with_columns(trace.alias("trace")).with_columns(place.alias("place")).sort("place", "start", "attempt")
    same = pl.col("place") == pl.col("place").shift()
    return ordered.with_columns((~(same & (number > number.shift())).fill_null(value=False)).alias("begins"))


def _with_whole(rows: pl.DataFrame, every: pl.DataFrame) -> pl.DataFrame:
    """`rows` with kind and timer, and how the proxy that made the attempts saw the request as a whole end, where it told."""
    judged = rows.with_columns(KIND.alias("kind"), TIMER.alias("timer"))
    received = every.filter(pl.col("vantage") == "proxy_in").select(
        "trace_id", "hop", pl.col("span_id").alias("parent_span_id"), KIND.alias("whole_kind"), TIMER.alias("whole_timer"),
        pl.col("duration_s").alias("whole_s"),
    )  # fmt: skip
    if received.is_empty():
        return judged.with_columns(
            pl.lit(None, dtype=kind).alias(name) for name, kind in received.schema.items() if "whole" in name
        )
    received = received.unique(["trace_id", "hop", "parent_span_id"], maintain_order=True)
    return judged.join(received, on=["trace_id", "hop", "parent_span_id"], how="left", maintain_order="left")


def _parents(rows: pl.DataFrame, request_of: Ints) -> Ints:
    """The attempt that made each request, -1 where none is known: the last of its caller that began before it in its trace."""
    numbered = rows.select(
        "start", "begins", pl.col("trace_id").is_not_null().alias("traced"), pl.int_range(pl.len()).alias("row"),
        *((pl.col("trace") ^ pl.col(side).hash()).alias(side) for side in ("caller", "callee")),
        pl.Series("request", request_of),
    )  # fmt: skip
    asked = numbered.filter("begins").select("request", "start", pl.col("caller").alias("who")).sort("start")
    makers = numbered.filter("traced").select("start", "row", pl.col("callee").alias("who"), pl.col("request").alias("of"))
    parent = np.full(asked.height, -1, np.int64)
    # A clock that runs late puts a call before the one that made it: then the first that follows.
    for strategy in ("forward", "backward"):
        found = asked.join_asof(makers.sort("start"), on="start", by="who", strategy=strategy, check_sortedness=False)
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


def _as_arrays(rows: pl.DataFrame, ignored: int) -> Replay:
    first = np.flatnonzero(rows["begins"].to_numpy())
    request_of = np.cumsum(rows["begins"].to_numpy()) - 1
    level, parent = _levels(_parents(rows, request_of), request_of)
    groups, group = _groups(rows.with_columns(pl.Series("level", level[request_of])))
    attempts = _attempts(rows, first, request_of, group)
    return Replay(attempts, _requests(rows, attempts, first, parent, level), groups, rows.select(KEYS)[first], ignored)


def _groups(rows: pl.DataFrame) -> tuple[pl.DataFrame, Ints]:
    """Every group there is, in order, and the number of each row's."""
    mixed = rows.select(pl.col("level").hash() ^ pl.col("hop").hash(1) ^ pl.col("route").hash(2) ^ pl.col("model").hash(3))
    _, first, group = np.unique(mixed.to_series().to_numpy(), return_index=True, return_inverse=True)
    found = rows.select(GROUP)[first].with_row_index("was").sort(GROUP, nulls_last=False)
    place = np.argsort(found["was"].to_numpy())
    return found.drop("was"), place[group]


_SILENCE: Final = pl.max_horizontal(pl.col("first_token_s") - pl.col("first_byte_s").fill_null(0.0), "max_gap_s", "open_gap_s")
_AT_ONCE: Final = ~pl.col("streaming").fill_null(value=True) | (pl.col("chunks") <= 1).fill_null(value=False)
_TOKENS: Final = pl.coalesce("output_tokens", pl.when(pl.col("chunks") > 1).then("chunks"))


def _attempts(rows: pl.DataFrame, first: Ints, request_of: Ints, group: Ints) -> Attempts:
    silence = pl.when(_AT_ONCE & (pl.col("outcome") == "ok")).then(pl.coalesce(_SILENCE, pl.lit(0.0))).otherwise(_SILENCE)
    ready = rows.select(
        "kind", "timer", pl.col("duration_s").fill_null(0.0), pl.col("start").cast(pl.Int64),
        pl.col("first_byte_s").fill_null(float("nan")), pl.col("first_token_s").fill_null(float("nan")),
        silence.fill_null(float("nan")).alias("silence_s"), _TOKENS.fill_null(0).cast(pl.Float64).alias("tokens"),
        pl.col("status_code").fill_null(0).cast(pl.Int64), pl.col("grpc_status").fill_null(0).cast(pl.Int64),
    )  # fmt: skip
    start, kind, timer = (ready[name].to_numpy() for name in ("start", "kind", "timer"))
    # A call that was cut and repeated was cut by the timer of one try.
    repeated = np.append(request_of[1:] == request_of[:-1], [False])
    return Attempts(
        request=request_of,
        number=np.arange(len(rows)) - first[request_of] + 1,
        offset_s=(start - start[first][request_of]) / 1e9,
        duration_s=ready["duration_s"].to_numpy(),
        headers_s=ready["first_byte_s"].to_numpy(),
        first_token_s=ready["first_token_s"].to_numpy(),
        silence_s=ready["silence_s"].to_numpy(),
        tokens=ready["tokens"].to_numpy(),
        kind=kind,
        timer=np.where(repeated & (kind == Kind.CUT), Timer.PER_TRY, timer).astype(np.int8),
        code=ready["status_code"].to_numpy(),
        grpc=ready["grpc_status"].to_numpy(),
        group=group,
    )


def _requests(rows: pl.DataFrame, attempts: Attempts, first: Ints, parent: Ints, level: Ints) -> Requests:
    last = np.append(first[1:], len(attempts)) - 1
    start = rows["start"].cast(pl.Int64).to_numpy()
    whole = rows.select("whole_kind", "whole_timer", "whole_s")[first]
    told = whole["whole_kind"].is_not_null().to_numpy()
    kind = np.where(told, whole["whole_kind"].fill_null(0).to_numpy(), attempts.kind[last]).astype(np.int8)
    timer = np.where(told, whole["whole_timer"].fill_null(0).to_numpy(), attempts.timer[last]).astype(np.int8)
    ended_s = attempts.offset_s[last] + attempts.duration_s[last]
    duration_s = np.where(told, whole["whole_s"].fill_null(0.0).to_numpy(), ended_s)
    own = pl.col("streaming").fill_null(value=False) | (pl.col("chunks") > 1).fill_null(value=False)
    trace = rows["trace"].to_numpy()
    streamed = np.isin(trace[first], np.unique(trace[rows.select(own)["streaming"].to_numpy()]))
    return Requests(
        start_s=(start[first] - start.min()) / 1e9,
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
