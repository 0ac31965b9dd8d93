"""Connect timeouts: how long a proxy tries to reach a pod before it takes another.

No vantage times connects of their own, but a call's headers come after its connect: the time to headers, as the caller's side
saw it, bounds it from above. So the upper bound of that quantile of headers which the false-timeout budget names is a connect
timeout that surely cuts no more calls than allowed. It is loose where headers wait for a model, and then nothing is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import polars as pl

from meshslo.analysis.policy.durations import round_up
from meshslo.analysis.quantile import calls_needed
from meshslo.analysis.survival import LifeTable

from .observed import Observed
from .recommendation import Current, Effect, Evidence, Recommendation, Status, Target
from .words import count, seconds, share

SETTING: Final = "connect_timeout"

LEAST_S: Final = 1.5
"""A lost SYN is sent again after 1 s (RFC 6298, section 2): a shorter timer would make every lost packet a failure."""

USUAL_S: Final = 5.0
"""The shortest of the meshes' own (Envoy 5 s, Istio and Envoy Gateway 10 s): a longer bound says nothing new."""

WORTH: Final = 2.0
"""A change is worth making where a dead pod is noticed in half the time at least."""

CALLERS_SIDE: Final = ("client", "proxy_out")
UNREACHED: Final = "UF"
"""Envoy's response flag of a connect that failed."""


class ConnectRecommender:
    """The recommender of connect timeouts."""

    kind = "connect"
    plural = "connects"

    def recommend(self, observed: Observed) -> Sequence[Recommendation]:
        """One answer for every hop, in order."""
        headers = observed.rollup.where(pl.col("phase") == "first_byte").by(("hop",)).coarsen(None).pick_vantage().cells
        by_hop = {str(hop): cells for (hop,), cells in headers.partition_by("hop", as_dict=True).items()}
        failed = _unreached(observed.calls)
        hops = sorted({hop for hop, _ in observed.routes})
        return [_Run(observed, hop, by_hop.get(hop, headers.clear()), failed.get(hop, 0)).item() for hop in hops]


def _unreached(calls: pl.LazyFrame) -> dict[str, int]:
    """Calls of each hop that reached no pod, as Envoy's flags say; hops without any are not in it."""
    flags = pl.col("response_flags").str.split(",").list
    return dict(calls.filter(flags.contains(UNREACHED)).group_by("hop").len().collect().iter_rows())


@dataclass(frozen=True, eq=False)
class _Run:
    """One hop."""

    observed: Observed
    hop: str
    headers: pl.DataFrame
    """Cells of the times to headers of its calls, all its routes and models together."""
    failed: int
    """Its calls that reached no pod."""

    @cached_property
    def table(self) -> LifeTable:
        return LifeTable.from_cells(self.headers)

    @property
    def _q(self) -> float:
        return 1.0 - self.observed.config.false_timeout_ratio(self.hop)

    @property
    def _confidence(self) -> float:
        return self.observed.config.objectives.confidence

    @cached_property
    def current(self) -> Current | None:
        placed = self.observed.deployed.find(SETTING, Target(self.hop).callee)
        return Current.read(placed)

    def item(self) -> Recommendation:
        vantage = self.observed.tables("first_byte").vantage(self.hop)
        if vantage not in CALLERS_SIDE:
            why = f"only {vantage} saw headers, which is after the connect: more is known from spans of the caller or its proxy"
            return self._answer("not_identifiable", None, why)
        quantile = self.table.quantile(self._q, self._confidence)
        if quantile.status != "ok" or quantile.upper_s is None:
            missing = max(1, calls_needed(self._q, self._confidence) - self.table.calls)
            return self._answer("not_identifiable", None, f"{count(missing)} more calls with headers are needed")
        return self._judged(max(LEAST_S, round_up(quantile.upper_s)), quantile.upper_s)

    def _judged(self, value_s: float, bound_s: float) -> Recommendation:
        bound = f"{share(self._q)} of connects end within {seconds(bound_s)}, when the headers of their calls had come"
        now_s = None if self.current is None else float(self.current.value)
        if now_s is None and value_s >= USUAL_S:
            return self._answer("not_identifiable", None, f"{bound}; more is not known, and every mesh's own is shorter")
        if now_s is not None and now_s <= WORTH * value_s:
            return self._answer("keep", None, f"{bound}; the present value is near it or below, and none is known to be better")
        failed = f"; {count(self.failed)} calls reached no pod" if self.failed else ""
        saved = "" if now_s is None else f" instead of {seconds(now_s)}"
        return self._answer(
            "change", value_s, f"{bound}: a pod that is gone is noticed after {seconds(value_s)}{saved}{failed}"
        )

    def _answer(self, status: Status, value_s: float | None, reason: str) -> Recommendation:
        known = self.table.quantile(self._q, self._confidence) if self.table.calls else None
        beyond = None if value_s is None else self.table.exceedance(value_s, self._confidence)
        return Recommendation.of(
            SETTING,
            value_s,
            target=Target(self.hop),
            current=self.current,
            status=status,
            confidence=self._confidence,
            reason=reason,
            evidence=Evidence(
                calls=max(self.table.calls, self._all),
                censored=self.failed,
                window_s=self.observed.window_s,
                high=known.upper_s if known is not None and known.status == "ok" else None,
            ),
            # A bound, no estimate: connects are shorter than headers.
            effect={} if beyond is None else {"false_timeout_rate": Effect(after_high=beyond.high)},
        )

    @cached_property
    def _all(self) -> int:
        routes = [route for hop, route in self.observed.routes if hop == self.hop]
        return sum(sum(self.observed.tables("total").outcomes(self.hop, route).values()) for route in routes)


RECOMMENDER = ConnectRecommender()
