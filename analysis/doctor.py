"""Whether the data can bear the answers: findings MS9xx on coverage, clocks, sampling, and vantages that contradict each other.

One function a code, all of the same shape: from what was examined to findings. A finding names what it rests on and a way out.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import polars as pl

from .agreement import QUANTILES, Comparison, compare
from .answer import Answer
from .bursty import Bursty, bursty_hops
from .coverage import Coverage, Metered, coverage, metered
from .deadlines import Pile, find_piles
from .rollup import Rollup

Severity = Literal["note", "warning", "error"]
SEVERITIES: Final[tuple[Severity, ...]] = ("note", "warning", "error")
"""From what is good to know to what makes answers wrong."""

FEW: Final = 0.05
"""Share of calls below which something that is missing is only a note."""


@dataclass(frozen=True)
class Finding:
    """One thing about the data that a reader of its numbers should know."""

    code: str
    severity: Severity
    subject: str
    message: str
    remedy: str


@dataclass(frozen=True, eq=False)
class Diagnosis(Answer):
    """What was counted, how the vantages of each hop compare, and what follows from it, the worst first."""

    coverage: Coverage
    comparisons: tuple[Comparison, ...]
    findings: tuple[Finding, ...]
    metrics: tuple[Metered, ...] = ()
    """The profiles whose metrics the store has."""

    def at_least(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of this severity or a worse one."""
        return tuple(f for f in self.findings if SEVERITIES.index(f.severity) >= SEVERITIES.index(severity))

    @property
    def frame(self) -> pl.DataFrame:
        """One row a finding."""
        return pl.DataFrame(
            [asdict(finding) for finding in self.findings],
            schema=dict.fromkeys(("code", "severity", "subject", "message", "remedy"), pl.String()),
        )

    def to_json(self) -> str:
        """The JSON that `meshslo doctor --output json` prints."""
        return json.dumps(self.to_dict(), indent=2)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document as Python values."""
        seen = self.coverage
        window = (
            None if seen.start is None or seen.end is None else {"start": seen.start.isoformat(), "end": seen.end.isoformat()}
        )
        return {
            "schema": "meshslo.doctor/1",
            "window": window,
            "calls": seen.calls,
            "duplicates": seen.duplicates,
            "skew": asdict(seen.skew),
            "hops": seen.hops.to_dicts(),
            "metrics": [{**asdict(one), "start": one.start.isoformat(), "end": one.end.isoformat()} for one in self.metrics],
            "comparisons": [asdict(comparison) for comparison in self.comparisons],
            "findings": [asdict(finding) for finding in self.findings],
        }


def examine(calls: pl.LazyFrame, rollup: Rollup, series: pl.LazyFrame | None = None) -> Diagnosis:
    """Diagnose `calls` (rows of `telemetry.schema`); `rollup` of the same window by hop, metrics among its vantages.

    series: the metrics themselves, where the store has some.
    """
    seen = coverage(calls)
    metrics = () if series is None else metered(series)
    comparisons = tuple(compare(rollup.by(["hop"])))
    found = [finding for check in CHECKS for finding in check(seen, comparisons)]
    found += _nothing(seen, metrics)
    found += _hidden_deadlines(find_piles(rollup))
    found += _together(bursty_hops(calls, rollup))
    found.sort(key=lambda finding: (-SEVERITIES.index(finding.severity), finding.code, finding.subject))
    return Diagnosis(seen, comparisons, tuple(found), metrics)


Check = Callable[[Coverage, tuple[Comparison, ...]], Iterator[Finding]]


def _nothing(seen: Coverage, metrics: tuple[Metered, ...]) -> Iterator[Finding]:
    if not seen.calls and not metrics:
        yield Finding("MS901", "error", "store", "there are no calls", "fill it with meshslo collect, import or pull")
    if not seen.calls and metrics:
        why = "there are metrics and no single calls: hops and quantiles can be reported, tenants only where a label names them"
        way = "collect or pull traces too: recommend, backtest and the chain follow from single calls"
        yield Finding("MS917", "note", "store", why, way)


def _callers(seen: Coverage, _: tuple[Comparison, ...]) -> Iterator[Finding]:
    yield from _unset(
        seen,
        "caller",
        "MS902",
        "their parent span is not in the store, so their hop reads unknown>...",
        "collect the callers' spans too, or let the services state meshslo.caller",
    )


def _tenants(seen: Coverage, _: tuple[Comparison, ...]) -> Iterator[Finding]:
    way = "set the baggage entry tenant.id at the edge, or a custom tag of the proxies"
    yield from _unset(seen, "tenant", "MS903", "they are in no tenant's figures", way, never="note")


def _models(seen: Coverage, _: tuple[Comparison, ...]) -> Iterator[Finding]:
    way = "set gen_ai.request.model on the inference calls, or a custom tag of the proxies"
    yield from _unset(seen, "model", "MS904", "they are in no model's figures", way, never="note")


def _weights(seen: Coverage, _: tuple[Comparison, ...]) -> Iterator[Finding]:
    why = "each counts as 1; where traces were sampled, above all by latency, every percentile is wrong"
    way = "let the sampler write the tracestate ot=th:..., or do not sample"
    yield from _unset(seen, "weight", "MS905", why, way, never="note")


def _durations(seen: Coverage, _: tuple[Comparison, ...]) -> Iterator[Finding]:
    why = "their client span ends at the response headers, so they say nothing of the total"
    yield from _unset(seen, "timed", "MS906", why, "instrument the stream with observe_stream, or rely on another vantage")


def _unset(seen: Coverage, column: str, code: str, why: str, remedy: str, *, never: Severity = "warning") -> Iterator[Finding]:
    """A finding where `column` is not set on some calls; its severity is `never` where it is set on none at all."""
    share = seen.share(column)
    if share is None or share == 1.0:
        return
    severity: Severity = "note" if 1.0 - share < FEW else never if share == 0.0 else "warning"
    yield Finding(
        code, severity, _where(seen, column), f"{_percent(1.0 - share)} of the calls have no {_NAMES[column]}: {why}", remedy
    )


_NAMES: Final = {"caller": "caller", "tenant": "tenant", "model": "model", "weight": "sampling weight", "timed": "duration"}


def _where(seen: Coverage, column: str) -> str:
    """The hops that lack `column` most, at most three."""
    lacking = (
        seen.hops.group_by("hop")
        .agg(missing=pl.col("calls").sum().cast(pl.Int64) - pl.col(column).sum().cast(pl.Int64))
        .filter(pl.col("missing") > 0)
        .sort("missing", "hop", descending=[True, False])["hop"]
        .to_list()
    )
    return ", ".join(lacking[:3]) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")


def _skewed(seen: Coverage, _: tuple[Comparison, ...]) -> Iterator[Finding]:
    skew = seen.skew
    if skew.early:
        share = skew.early / skew.examined
        message = (
            f"{_percent(share)} of the calls begin before the call that made them, by up to {skew.worst_s:.3g} s: "
            "clocks run apart; durations are safe, gaps between hosts are not"
        )
        yield Finding(
            "MS907", "warning" if share >= 0.01 else "note", "clocks", message, "synchronise the hosts' clocks (NTP, PTP)"
        )


def _orphaned(seen: Coverage, _: tuple[Comparison, ...]) -> Iterator[Finding]:
    skew = seen.skew
    if skew.orphans:
        share = skew.orphans / (skew.orphans + skew.examined)
        message = f"{_percent(share)} of the calls with a parent have it outside the store: chains are cut there"
        remedy = "collect from every service; look for spans dropped by full queues, or traces cut by the window"
        yield Finding("MS908", "warning" if share >= FEW else "note", "traces", message, remedy)


def _streams(seen: Coverage, _: tuple[Comparison, ...]) -> Iterator[Finding]:
    for column, name, code in (("first_token", "first token", "MS909"), ("max_gap", "longest gap", "MS910")):
        share = seen.best_share(column, "streams_ok")
        if share is not None and share < 1.0:
            message = (
                f"{_percent(1.0 - share)} of the streams that ended well do not show their {name}, from no side of their hop"
            )
            remedy = "wrap them in observe_stream at one vantage; proxies see response headers only"
            yield Finding(code, "warning" if share == 0.0 else "note", "streams", message, remedy)


def _twice(seen: Coverage, _: tuple[Comparison, ...]) -> Iterator[Finding]:
    if seen.duplicates:
        yield Finding(
            "MS911",
            "warning",
            "store",
            f"{seen.duplicates} rows repeat the trace, span and vantage of another",
            "import into a store of its own; a store that meshslo wrote has none",
        )


def _contradictions(_: Coverage, comparisons: tuple[Comparison, ...]) -> Iterator[Finding]:
    for item in comparisons:
        if item.verdict == "contradiction":
            way = f"trust {item.outer} for what callers wait; look for cut spans, sampling or units at {item.inner}"
            yield Finding("MS912", "warning", item.hop, item.sentence(), way)
        if item.verdict == "saturated":
            way = f"read p{100 * item.q:g} from {item.outer if item.inner == 'metric' else item.inner}, or widen the histogram"
            yield Finding("MS913", "warning", item.hop, item.sentence(), way)


def _missing_spans(_: Coverage, comparisons: tuple[Comparison, ...]) -> Iterator[Finding]:
    for item in comparisons:
        if item.q == QUANTILES[0] and item.inner != "metric" and item.inner_ok < item.outer_ok * (1.0 - FEW):
            message = f"{item.inner} saw {item.inner_ok} of the {item.outer_ok} calls that ended well for {item.outer}"
            way = f"spans at {item.inner} are sampled or lost: report from {item.outer}"
            yield Finding("MS914", "warning", item.hop, message, way)


def _hidden_deadlines(piles: tuple[Pile, ...]) -> Iterator[Finding]:
    for pile in piles:
        way = "find that timer and let it say so (response flags, error type); recommend reads it as the one in use meanwhile"
        yield Finding("MS915", "warning", pile.hop, f"seen by {pile.vantage}, {pile}", way)


def _together(hops: Iterable[Bursty]) -> Iterator[Finding]:
    for each in hops:
        way = "look for what slows whole minutes (load, caches, a replica); for narrow intervals report over more hours"
        yield Finding("MS916", "note", each.hop, str(each), way)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


CHECKS: Final[tuple[Check, ...]] = (
    _callers,
    _tenants,
    _models,
    _weights,
    _durations,
    _skewed,
    _orphaned,
    _streams,
    _twice,
    _contradictions,
    _missing_spans,
)
