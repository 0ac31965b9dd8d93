"""What a run did, measured twice: from what its users saw, and from the spans in the store. They must agree."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from meshslo.analysis.quantile import Quantile
from meshslo.analysis.survival import LifeTable

from .load import Seen
from .settings import HOPS, PATHS

ENTRY: Final = "ingress>gateway"
GENERATION: Final = "gateway>generator"


@dataclass(frozen=True)
class Traffic:
    """Calls of one hop: asked for (received by the callee's proxy) and made (attempts that it sent on)."""

    asked: int
    made: int


@dataclass(frozen=True)
class Measured:
    """One run from one side. Rates are shares of requests; users who left count neither as success nor as failure."""

    requests: int
    streams: int
    cut_by_timer: int
    """Streams that ended before their answer did because some timer of the mesh ran out."""
    left: int
    succeeded: int
    traffic: Mapping[str, Traffic]
    """Calls by hop."""
    tokens: int
    """Tokens generated."""
    tokens_in_vain: int
    """Those of them that belong to no answer a user got whole."""

    @property
    def success_rate(self) -> float:
        """Whole answers / requests whose user stayed."""
        return self.succeeded / max(1, self.requests - self.left)

    @property
    def cut_rate(self) -> float:
        """Cut streams / streams."""
        return self.cut_by_timer / max(1, self.streams)

    @property
    def calls(self) -> int:
        """Calls made at all hops, every attempt counted."""
        return sum(hop.made for hop in self.traffic.values())

    @property
    def amplification(self) -> float:
        """Calls made / calls asked for, multiplied along the chain's worst path: the load that one request becomes."""
        ratios = {hop: count.made / max(1, count.asked) for hop, count in self.traffic.items()}
        return max(math.prod(ratios[hop] for hop in path) for path in PATHS)


def seen_by_users(seen: Sequence[Seen], *, traffic: Mapping[str, Traffic], tokens: int) -> Measured:
    """The run as its users saw it; `traffic` and `tokens` as the proxies and the generators counted them themselves."""
    streams = [one for one in seen if one.ask.streaming]
    return Measured(
        requests=len(seen),
        streams=len(streams),
        cut_by_timer=sum(one.ending == "cut" for one in streams),
        left=sum(one.ending == "left" for one in seen),
        succeeded=sum(one.ending == "ok" for one in seen),
        traffic=traffic,
        tokens=tokens,
        tokens_in_vain=tokens - sum(one.tokens for one in seen),
    )


def seen_in_store(calls: pl.DataFrame) -> Measured:
    """The run as its spans tell it: `calls` are the canonical rows of its window, from all vantages."""
    entries = entry_calls(calls)
    made = calls.filter(vantage="server", hop=GENERATION).select(
        "trace_id", "outcome", tokens=pl.col("output_tokens").fill_null(0)
    )
    whole = made.join(entries.filter(outcome="ok"), on="trace_id", how="semi").filter(outcome="ok")
    useful = whole.group_by("trace_id").agg(pl.col("tokens").max())
    tokens = int(made["tokens"].sum())
    return Measured(
        requests=entries.height,
        streams=entries.filter("streamed").height,
        cut_by_timer=entries.filter("streamed", "cut").height,
        left=entries.filter(outcome="cancelled").height,
        succeeded=entries.filter(outcome="ok").height,
        traffic={hop: _traffic(calls.filter(hop=hop)) for hop in HOPS},
        tokens=tokens,
        tokens_in_vain=tokens - int(useful["tokens"].sum()),
    )


def _traffic(calls: pl.DataFrame) -> Traffic:
    return Traffic(calls.filter(vantage="proxy_in").height, calls.filter(vantage="proxy_out").height)


def entry_calls(calls: pl.DataFrame) -> pl.DataFrame:
    """One row a request: trace_id, duration_s, outcome as the gateway's proxy saw them, `streamed`, and `cut` by a timer.

    A timer at an inner hop shows at the entry as an answer that broke off; the trace tells that it was a timer.
    """
    traces = calls.group_by("trace_id").agg(
        streamed=pl.col("streaming").any().fill_null(value=False),
        timed_out=(pl.col("outcome") == "timeout").any(),
    )
    broke_off = (pl.col("outcome") == "error") & (pl.col("status_code") == 200) & pl.col("timed_out")
    return (
        calls.filter(vantage="proxy_in", hop=ENTRY)
        .join(traces, on="trace_id")
        .select("trace_id", "duration_s", "outcome", "streamed", cut=(pl.col("outcome") == "timeout") | broke_off)
    )


def stream_quantiles(calls: pl.DataFrame, shares: Sequence[float] = (0.95, 0.99)) -> dict[float, Quantile]:
    """How long streams take until their end, by the survival estimate: those that were cut or left count as longer."""
    streams = entry_calls(calls).filter("streamed")
    lasted = streams.filter((pl.col("outcome") == "ok") | pl.col("cut") | (pl.col("outcome") == "cancelled"))
    table = LifeTable.from_durations(lasted["duration_s"].to_numpy(), (lasted["outcome"] == "ok").to_numpy())
    return {share: table.quantile(share) for share in shares}


def disagreements(users: Measured, store: Measured) -> list[str]:
    """What the two sides count differently beyond chance, one sentence each.

    A call that ends at the very moment of a cut may be judged differently by its two ends, hence the small tolerance.
    """
    names = ("requests", "streams", "cut_by_timer", "left", "succeeded", "calls", "tokens", "tokens_in_vain")
    pairs = [(name, getattr(users, name), getattr(store, name)) for name in names]
    pairs += [(f"calls asked of {hop}", users.traffic[hop].asked, store.traffic[hop].asked) for hop in users.traffic]
    return [
        f"{name.replace('_', ' ')}: users' side {ours}, store {theirs}"
        for name, ours, theirs in pairs
        if abs(ours - theirs) > max(TOLERATED_COUNT, TOLERATED_SHARE * ours)
    ]


TOLERATED_COUNT: Final = 3
TOLERATED_SHARE: Final = 0.01
