"""What a proxy's detector would have seen of each pod: answers in the order in which it judges them.

A detector judges the status when headers come, and a connection that fails or breaks as 503. A stream that breaks midway is
therefore two answers: its 200, which clears what was counted, and later a 503. So broken streams eject a pod only where as
many break with no new headers in between. Seen on Envoy 1.40; source: Envoy, router.cc and outlier_detection_impl.cc.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

GOOD: Final = 0
SERVER_ERROR: Final = 1
GATEWAY_FAILURE: Final = 2

GATEWAY_STATUSES: Final = (502, 503, 504)

CALLEE_SIDE: Final = ("server", "proxy_in")
"""Vantages whose pod is the callee's."""

LEFT: Final = "cancelled"

NEEDED: Final = (
    *("hop", "route", "model", "pod", "start", "duration_s", "first_byte_s", "first_token_s"),
    *("status_code", "outcome", "input_tokens"),
)


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers in order of time: when (seconds since the first call began), of which of `pods`, and how."""

    at_s: NDArray[np.float64]
    pod: NDArray[np.int64]
    kind: NDArray[np.int64]
    pods: tuple[str, ...]

    @property
    def span_s(self) -> float:
        """Seconds from the first call to the last answer."""
        return float(self.at_s[-1]) if len(self.at_s) else 0.0

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Which answers count against their pod."""
        failed: NDArray[np.bool_] = self.kind != GOOD
        return failed

    def of(self, pod: int) -> "Answers":
        """The answers of one pod."""
        mine = self.pod == pod
        return Answers(self.at_s[mine], self.pod[mine], self.kind[mine], self.pods)


def callee_side(calls: pl.LazyFrame) -> pl.DataFrame:
    """Calls that name the callee's pod, of the vantage that names most pods; none where nobody names any."""
    named = calls.filter(pl.col("vantage").is_in(CALLEE_SIDE) & pl.col("pod").is_not_null())
    by_vantage = named.group_by("vantage").agg(pl.col("pod").n_unique().alias("pods")).collect()
    best = by_vantage.sort("pods", "vantage", descending=[True, True])["vantage"].head(1).to_list()
    return named.filter(pl.col("vantage").is_in(best)).select(NEEDED).collect()


def answers_of(calls: pl.DataFrame) -> Answers:
    """The answers of calls from `callee_side`. Those that never reached the pod, and whose caller left before, are none."""
    pods = calls["pod"].unique().sort()
    rows = calls.filter((pl.col("outcome") != "rejected") & pl.col("duration_s").is_not_null()).with_columns(
        begun_s=(pl.col("start") - pl.col("start").min()).dt.total_nanoseconds() * 1e-9,
        number=pl.col("pod").cast(pl.Enum(pods)).to_physical().cast(pl.Int64),
    )
    headers = pl.col("first_byte_s").is_not_null() & (pl.col("status_code").fill_null(0) > 0)
    at_headers = rows.filter(headers).select(
        at_s=pl.col("begun_s") + pl.col("first_byte_s"), pod="number", kind=_of_status(pl.col("status_code"))
    )
    broke = headers & (pl.col("outcome") == "error") & (pl.col("status_code") < 500)
    silent = ~headers & (pl.col("outcome") != LEFT)
    at_end = rows.filter(broke | silent).select(
        at_s=pl.col("begun_s") + pl.col("duration_s"),
        pod="number",
        kind=pl.when(broke).then(GATEWAY_FAILURE).otherwise(_of_silence()).cast(pl.Int64),
    )
    every = pl.concat([at_headers, at_end]).sort("at_s", "pod", "kind")
    return Answers(every["at_s"].to_numpy(), every["pod"].to_numpy(), every["kind"].to_numpy(), tuple(pods))


def _of_status(status: pl.Expr) -> pl.Expr:
    kind = pl.when(status.is_in(GATEWAY_STATUSES)).then(GATEWAY_FAILURE).when(status >= 500).then(SERVER_ERROR)
    return kind.otherwise(GOOD).cast(pl.Int64)


def _of_silence() -> pl.Expr:
    """An answer whose headers nobody timed: by its status where it has one; else a good end or a reset."""
    status = pl.col("status_code").fill_null(0)
    return pl.when(status > 0).then(_of_status(status)).when(pl.col("outcome") == "ok").then(GOOD).otherwise(GATEWAY_FAILURE)
