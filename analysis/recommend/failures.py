"""What failed and what a repetition could have saved: attempts of each hop and route, counted by minute."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.analysis.calm import calm_stretches
from meshslo.analysis.config import Config
from meshslo.telemetry.vocabulary import VANTAGES

from .chain import HopRoute

ATTEMPT_VANTAGES: Final = ("proxy_out", "client", "proxy_in", "server")
"""Who sees single attempts best: the proxy that makes them, then the code that does; the callee sees those that arrived."""

NEVER_EXECUTED: Final = ("UF",)
"""Response flags after which the callee has not seen the request. UO, UH and RL are refusals that a repetition meets again."""

IDEMPOTENT_METHODS: Final = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE")
"""Methods whose repetition does no more than one call. Source: RFC 9110, section 9.2.2."""


@dataclass(frozen=True, eq=False)
class Attempts:
    """Attempts of one hop and route. Arrays are by minute with calls; `firsts` are calls asked, `tries` all their attempts."""

    vantage: str
    firsts: NDArray[np.int64]
    tries: NDArray[np.int64]
    failed: NDArray[np.int64]
    safe: NDArray[np.int64]
    safe_if_idempotent: NDArray[np.int64]
    ok_first: int
    ok: int
    second: int
    second_ok: int
    cut: int
    most: int
    tokens_of_failed: int
    busy_s: float
    """What all attempts took together."""

    @cached_property
    def calm(self) -> NDArray[np.bool_]:
        """Minutes without an outage: what a budget is for is the noise, not the storm."""
        return calm_stretches(self.failed, self.firsts)

    @property
    def calls(self) -> int:
        """Calls asked."""
        return int(self.firsts.sum())

    @property
    def amplification(self) -> float:
        """Attempts made / calls asked."""
        return float(self.tries.sum()) / max(self.calls, 1)

    @property
    def peak_per_s(self) -> float:
        """Calls a second in the busiest minute."""
        return float(self.firsts.max(initial=0)) / 60.0

    def rate_per_s(self, window_s: float) -> float:
        """Mean calls a second over the window."""
        return self.calls / max(window_s, 1.0)


def count_attempts(calls: pl.LazyFrame, config: Config) -> Mapping[HopRoute, Attempts]:
    """Attempts of every hop and route, each hop from the vantage that sees attempts best."""
    rank = pl.col("vantage").replace_strict(
        {name: ATTEMPT_VANTAGES.index(name) for name in ATTEMPT_VANTAGES}, default=len(VANTAGES), return_dtype=pl.Int8
    )
    ranked = calls.with_columns(rank.alias("rank")).filter(pl.col("rank") < len(VANTAGES))
    best = ranked.group_by("hop").agg(pl.col("rank").min())
    idempotent = [hop for hop, settings in config.hops.items() if settings.idempotent]
    minutes = (
        ranked.join(best, on=["hop", "rank"], how="semi")
        .with_columns(_words(idempotent))
        .group_by("hop", "route", pl.col("start").dt.truncate("1m").alias("minute"))
        .agg(*_COUNTS, pl.col("vantage").first())
        .sort("hop", "route", "minute")
        .collect()
    )
    groups = minutes.partition_by("hop", "route", as_dict=True, maintain_order=True)
    return {(str(hop), route): _attempts(frame) for (hop, route), frame in groups.items()}


def _words(idempotent: list[str]) -> list[pl.Expr]:
    """What each attempt was: the first, a failure, one that is safe to repeat."""
    flags = pl.col("response_flags").fill_null("").str.split(",")
    is_rejected = pl.col("outcome") == "rejected"
    # Rejected without any answer: the caller's code found nobody to talk to.
    no_answer = pl.col("response_flags").fill_null("-").is_in(["", "-"]) & (pl.col("status_code").fill_null(0) == 0)
    unexecuted = flags.list.set_intersection(list(NEVER_EXECUTED)).list.len() > 0
    safe = is_rejected & (unexecuted | (no_answer & pl.col("grpc_status").is_null()))
    before_headers = (pl.col("outcome") == "error") & pl.col("first_byte_s").is_null()
    repeatable = pl.col("hop").is_in(idempotent) | pl.col("method").is_in(IDEMPOTENT_METHODS).fill_null(value=False)
    return [
        pl.col("attempt").fill_null(1).alias("attempt"),
        pl.col("outcome").is_in(["error", "rejected", "timeout"]).alias("is_failed"),
        safe.alias("is_safe"),
        (before_headers & repeatable).alias("is_safe_if_idempotent"),
        pl.max_horizontal("chunks", "output_tokens").fill_null(0).cast(pl.Int64).alias("answer"),
    ]


_FIRST: Final = pl.col("attempt") == 1
_OK: Final = pl.col("outcome") == "ok"
_COUNTS: Final = (
    _FIRST.sum().cast(pl.Int64).alias("firsts"),
    pl.len().cast(pl.Int64).alias("tries"),
    (_FIRST & pl.col("is_failed")).sum().cast(pl.Int64).alias("failed"),
    (_FIRST & pl.col("is_safe")).sum().cast(pl.Int64).alias("safe"),
    (_FIRST & pl.col("is_safe_if_idempotent")).sum().cast(pl.Int64).alias("safe_if_idempotent"),
    (_FIRST & _OK).sum().alias("ok_first"),
    _OK.sum().alias("ok"),
    (pl.col("attempt") == 2).sum().alias("second"),
    ((pl.col("attempt") == 2) & _OK).sum().alias("second_ok"),
    pl.col("outcome").is_in(["timeout", "cancelled"]).sum().alias("cut"),
    pl.col("attempt").max().alias("most"),
    pl.col("answer").filter(pl.col("is_failed")).sum().alias("tokens_of_failed"),
    pl.col("duration_s").sum().alias("busy_s"),
)


def _attempts(minutes: pl.DataFrame) -> Attempts:
    def each(name: str) -> NDArray[np.int64]:
        return minutes[name].to_numpy()

    def total(name: str) -> int:
        return int(minutes[name].sum())

    return Attempts(
        vantage=str(minutes["vantage"][0]),
        firsts=each("firsts"),
        tries=each("tries"),
        failed=each("failed"),
        safe=each("safe"),
        safe_if_idempotent=each("safe_if_idempotent"),
        ok_first=total("ok_first"),
        ok=total("ok"),
        second=total("second"),
        second_ok=total("second_ok"),
        cut=total("cut"),
        most=int(each("most").max()),
        tokens_of_failed=total("tokens_of_failed"),
        busy_s=float(minutes["busy_s"].sum()),
    )
