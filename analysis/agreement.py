"""Do the vantages of a hop tell one story? Their quantiles side by side, each with its own error bounds.

Vantages nest: what the caller's side saw lasts at least as long as what the callee's side saw of the same calls. So an inner
vantage that is longer, beyond both intervals, contradicts; an outer one that is longer has only waited more. Metrics may be
anyone's, so that either way they contradict. Where calls were cut, the two sides saw them end at different moments (a callee
learns of it with its next chunk): what these calls would have become must not explain the difference either.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

import polars as pl

from meshslo.telemetry.vocabulary import CENSORED, VANTAGES

from .endings import leaving_band
from .quantile import Quantile
from .rollup import Rollup
from .survival import LifeTable

QUANTILES: Final = (0.5, 0.99)

Verdict = Literal["agree", "nested", "contradiction", "cut_apart", "saturated", "unknown"]
"""Intervals overlap; the outer is longer; the inner is; the inner is, unless cut calls would have ended as they may have; a
metric ends at its top bucket; one side has no estimate."""


@dataclass(frozen=True)
class Comparison:
    """One quantile of the total duration of a hop at two vantages, `outer` nearer to the caller. Seconds; None is open."""

    hop: str
    q: float
    outer: str
    inner: str
    outer_s: float | None
    outer_low_s: float | None
    outer_high_s: float | None
    inner_s: float | None
    inner_low_s: float | None
    inner_high_s: float | None
    outer_ok: int
    inner_ok: int
    verdict: Verdict

    def sentence(self) -> str:
        """The two sides in words."""
        outer, inner = _said(self.outer_s, self.outer_high_s), _said(self.inner_s, self.inner_high_s)
        return f"p{100 * self.q:g} is {outer} at {self.outer}, {inner} at {self.inner}"


def compare(rollup: Rollup) -> Iterator[Comparison]:
    """Every pair of vantages of every hop of a rollup whose only key is `hop`, at each of QUANTILES."""
    cells = rollup.cells.filter(pl.col("phase") == "total")
    for (hop,), of_hop in cells.group_by("hop", maintain_order=True):
        sides = {str(vantage): side for (vantage,), side in of_hop.group_by("vantage", maintain_order=True)}
        seen = [vantage for vantage in VANTAGES if vantage in sides]
        for outer, inner in combinations(seen, 2):
            yield from _pair(str(hop), (outer, sides[outer]), (inner, sides[inner]), rollup.scale)


def _pair(hop: str, outer: tuple[str, pl.DataFrame], inner: tuple[str, pl.DataFrame], scale: int) -> Iterator[Comparison]:
    tables = [LifeTable.from_cells(side, scale=scale) for _, side in (outer, inner)]
    outer_ok, inner_ok = (int(side.filter(pl.col("outcome") == "ok")["count"].sum()) for _, side in (outer, inner))
    for q in QUANTILES:
        far, near = (table.quantile(q) for table in tables)
        verdict = _verdict(far, near, metric="metric" in (outer[0], inner[0]))
        if verdict == "contradiction" and _cuts_may_explain(outer[1], inner[1], q, scale):
            verdict = "cut_apart"
        yield Comparison(
            hop=hop,
            q=q,
            outer=outer[0],
            inner=inner[0],
            outer_s=far.value_s,
            outer_low_s=far.low_s,
            outer_high_s=far.high_s,
            inner_s=near.value_s,
            inner_low_s=near.low_s,
            inner_high_s=near.high_s,
            outer_ok=outer_ok,
            inner_ok=inner_ok,
            verdict=verdict,
        )


def _verdict(outer: Quantile, inner: Quantile, *, metric: bool) -> Verdict:
    if "not_identifiable" in (outer.status, inner.status):
        return "unknown"
    if metric and inner.status == "at_least" and outer.status == "ok":
        return "saturated"
    if _longer(inner, outer):
        return "contradiction"
    if _longer(outer, inner):
        return "contradiction" if metric else "nested"
    return "agree"


def _longer(one: Quantile, other: Quantile) -> bool:
    """Whether `one` is, beyond both intervals."""
    return one.low_s is not None and other.high_s is not None and one.low_s > other.high_s


def _cuts_may_explain(outer: pl.DataFrame, inner: pl.DataFrame, q: float, scale: int) -> bool:
    """Whether some endings of the calls that were cut leave neither side longer than the other, beyond their intervals."""
    far, near = (leaving_band(side, q, scale=scale, left=sorted(CENSORED)) for side in (outer, inner))
    return not _longer(near.soonest, far.latest) and not _longer(far.soonest, near.latest)


def _said(value_s: float | None, high_s: float | None) -> str:
    return f"{value_s:.3g} s" if high_s is not None else f"at least {value_s:.3g} s"
