"""An answer of each kind, made by hand, as printing and pictures are tested on: no estimate is behind it that could change."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import polars as pl

from meshslo.analysis.agreement import Comparison
from meshslo.analysis.backtest import Backtest, Judged, Row
from meshslo.analysis.check import Finding as BadPolicy
from meshslo.analysis.check import Findings
from meshslo.analysis.comparison import Compared
from meshslo.analysis.comparison.result import Difference, Estimate
from meshslo.analysis.coverage import Coverage, Skew
from meshslo.analysis.doctor import Diagnosis, Finding
from meshslo.analysis.knee import Knee
from meshslo.analysis.paths import Chain
from meshslo.analysis.paths.result import HopTime, Share, Slow, Way
from meshslo.analysis.quantile import Interval, Quantile
from meshslo.analysis.recommend import Recommendation, Recommendations
from meshslo.analysis.recommend.drift import Support, Supports
from meshslo.analysis.recommend.limits import Bearing
from meshslo.analysis.recommend.recommendation import Current, Evidence, Proposed, Target
from meshslo.analysis.report import Report
from meshslo.analysis.resilience import HopLimit, Level, Load, Out, Pod, Resilience, ZonePair
from meshslo.analysis.security import Edge, Exposure, Host, Security
from meshslo.analysis.simulate.estimates import Figure
from meshslo.analysis.simulate.result import Contrast, Simulation
from meshslo.analysis.simulate.result import Row as SimulatedRow
from meshslo.analysis.slo.objective import Objective
from meshslo.analysis.slo.standing import Counts, Standing
from meshslo.analysis.slo.status import SloReport
from meshslo.analysis.tokens import TokenTimes
from meshslo.analysis.tokens.report import PerToken
from meshslo.analysis.tokens.timeout import TokenTimeout

START: Final = datetime(2026, 11, 2, 9, tzinfo=UTC)
END: Final = START + timedelta(hours=1)

_QUANTILE: Final = {
    "value_s": None,
    "low_s": None,
    "high_s": None,
    "status": "ok",
    "needs_calls": None,
    "completed_value_s": None,
    "design_effect": 1.0,
}


def _report_row(model: str | None, q: float, **quantile: Any) -> dict[str, Any]:
    calls = {"calls": 1200, "ok": 1100, "error": 1, "timeout": 90, "cancelled": 9, "rejected": 0, "timed": 1199}
    keys = {"vantage": "client", "hop": "gateway>generator", "model": model, "phase": "total"}
    return keys | calls | {"q": q} | _QUANTILE | quantile


def report() -> Report:
    """One hop and two models: a value with its interval, a lower bound, too few calls."""
    rows = [
        _report_row("small", 0.95, value_s=1.25, low_s=1.2, high_s=1.31, completed_value_s=1.1, design_effect=3.75),
        _report_row("small", 0.99, value_s=3.0, low_s=2.9, status="at_least", completed_value_s=2.8),
        _report_row("__other__", 0.95, value_s=0.0421, low_s=0.04, completed_value_s=0.0421),
        _report_row("__other__", 0.99, status="not_identifiable", needs_calls=214, completed_value_s=0.05, design_effect=None),
    ]
    return Report(pl.DataFrame(rows, schema_overrides={"needs_calls": pl.Int64}), ("hop", "model"), "total", START, END)


def recommendations() -> Recommendations:
    """A value to change, one to explore, one that is not known."""
    target = Target("gateway>generator", "/v1/chat", "small")
    evidence = Evidence(1200, 90, 3600.0, 4.2, 4.0, 4.6)
    item = Recommendation(
        kind="timeout",
        setting="total_timeout",
        code="MS101",
        target=target,
        current=Current(3.0, "s", "front.yaml:17"),
        proposed=Proposed(4.6, "s"),
        status="change",
        confidence=0.95,
        reason="at most 1 % of 1,200 calls take longer than 4.6 s, of which 90 were cut by `timeout: 3s` before",
        evidence=evidence,
        effect={},
    )
    unknown = Evidence(85, 0, 3600.0)
    few = {"current": None, "proposed": None, "evidence": unknown, "reason": "214 more calls are needed"}
    return Recommendations(
        items=(
            item,
            Recommendation(
                **vars(item) | {"setting": "idle_gap_timeout", "code": "MS102", "current": None, "status": "explore"}
            ),
            Recommendation(
                **vars(item) | few | {"setting": "first_token_timeout", "code": "MS103", "status": "not_identifiable"}
            ),
        )
    )


def supports() -> Supports:
    """A timeout that holds, and one that no longer does."""
    target = Target("gateway>generator", "/v1/chat", None)
    held = Support(target, "total_timeout", 4.6, 0.01, 1000, 0.004, 0.002, 0.008, supported=True)
    return Supports(
        (held, Support(target, "idle_gap_timeout", 0.5, 0.01, 1000, 0.04, 0.03, 0.05, supported=False, since=START))
    )


def backtest() -> Backtest:
    """A promise kept, one broken, a target that is too small."""
    target = {"hop": "gateway>generator", "route": "/v1/chat", "model": "small"}
    plain: dict[str, Any] = {"target": target, "fit_calls": 600, "judged_calls": 400, "promised_rate": 0.01}
    plain |= {"judged_from": START.isoformat()}
    kept, broken = Judged(4.6, 0.004, 0.001, 0.012, True), Judged(0.5, 0.05, 0.03, 0.08, False)
    few = {"status": "not_identifiable", "needs_calls": 214, "judged_calls": 10}
    return Backtest(
        (
            Row(
                **plain
                | {
                    "setting": "total_timeout",
                    "status": "judged",
                    "own": kept,
                    "rules": {"max": Judged(9.2, 0.0, 0.0, 0.01, True)},
                }
            ),
            Row(**plain | {"setting": "idle_gap_timeout", "status": "judged", "own": broken, "rules": {"max": broken}}),
            Row(**plain | {"setting": "first_token_timeout"} | few),
        )
    )


def diagnosis() -> Diagnosis:
    """A hop seen from two sides that differ, and a finding."""
    seen = {"calls": 100, "ok": 90, "tenant": 70, "model": 100, "caller": 100, "weight": 0, "timed": 100}
    stream = {"streams": 100, "streams_ok": 90, "first_token": 90, "max_gap": 45}
    hops = [{"hop": "gateway>generator", "vantage": vantage} | seen | stream for vantage in ("client", "server")]
    sides = {"outer_s": 1.0, "outer_low_s": 0.9, "outer_high_s": 1.1, "inner_s": 2.0, "inner_low_s": 1.9, "inner_high_s": None}
    differing = Comparison(
        "gateway>generator", 0.5, "client", "server", **sides, outer_ok=90, inner_ok=90, verdict="contradiction"
    )
    finding = Finding(
        "MS903", "warning", "gateway>generator", "30 % of the calls have no tenant", "set `tenant.id` at the edge"
    )
    return Diagnosis(Coverage(pl.DataFrame(hops), Skew(0, 0, 0.0, 0), 0, START, END), (differing,), (finding,))


def findings() -> Findings:
    """A finding at its line, and one that fits into none."""
    return Findings(
        (
            BadPolicy(
                "MS112",
                "warning",
                "front.yaml",
                17,
                "no timeout on a stream: Envoy's default of 15 s cuts it",
                "set `timeout`",
                True,
            ),
            BadPolicy(
                "MS113",
                "error",
                "charts/inference/templates/gateway-virtualservice.yaml",
                65,
                "this 1.2 s timeout cut 65 of 524 calls of ingress>gateway /v1/chat/completions (9.7 % to 16 %, 5 % allowed)",
                "what `meshslo recommend timeouts` says: first a longer one that shows the tail, then one that fits it",
                True,
            ),
        )
    )


def objectives() -> SloReport:
    """A promise that is kept, and one without calls."""
    promise = Objective(name="fast", hop="gateway>generator", sli="total", threshold_s=2.0, target=0.9)
    counts = Counts(950, 40, 10, 0, 950.0, 40.0, 10.0, 1000.0)
    share, left = Interval(0.955, 0.94, 0.97), Interval(0.55, 0.4, 0.7)
    since = END - timedelta(days=28)
    kept = Standing(promise, "met", counts, "client", since, END, START, share, left)
    other = promise.model_copy(update={"name": "idle", "hop": "gateway>retriever"})
    none = Standing(other, "no_data", Counts(0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0), None, since, END)
    return SloReport((kept, none), END)


def comparison() -> Compared:
    """A quantile that moved, a share that did not, a quantile that a side's cut calls hide."""
    known = Difference(
        quantity="duration",
        target={"hop": "gateway>generator"},
        phase="total",
        q=0.95,
        unit="s",
        a=Estimate(600, 2.0, 1.9, 2.1),
        b=Estimate(600, 3.0, 2.8, 3.2),
        estimate=1.0,
        low=0.8,
        high=1.2,
        p_adjusted=0.001,
        verdict="slower",
    )
    share = {"quantity": "success", "phase": None, "q": None, "unit": "ratio", "p_adjusted": 1.0, "verdict": "inside_noise"}
    sides = {"a": Estimate(600, 0.98, 0.96, 0.99), "b": Estimate(600, 0.97, 0.95, 0.98)}
    same = replace(known, **share, **sides, estimate=-0.01, low=-0.03, high=0.01)
    hidden = replace(known, q=0.99, b=Estimate(600, None, 3.0, None), estimate=None, low=0.5, high=None)
    return Compared("version=v1", "version=v2", 0.95, (known, same, hidden), ("own time: no traces on side A",))


def chain() -> Chain:
    """Two hops of one way in, whose p99 too few traces tell."""
    spans = tuple(Quantile(q, s, s * 0.9, s * 1.1, "ok") for q, s in ((0.5, 1.0), (0.95, 3.0)))
    unknown = Quantile(0.99, None, None, None, "not_identifiable", needs_calls=199)
    entry, inner = (
        HopTime(
            hop,
            depth,
            "client",
            300,
            300,
            0,
            1,
            (*spans, unknown),
            (*spans, unknown),
            (Share(s, s - 0.05, s + 0.05), None, None),
        )
        for hop, depth, s in (("ingress>gateway", 0, 0.1), ("gateway>generator", 1, 0.9))
    )
    slow = (Slow(150, 0), Slow(15, 485), Slow(3, 2700))
    way = Way("ingress>gateway", {"route": "/v1/chat"}, 300, 2, (*spans, unknown), slow, (entry, inner))
    return Chain((way,), (0.5, 0.95, 0.99), 600, 6, 4, 0, {}, 1)


def simulation() -> Simulation:
    """A hop under a longer timer: what its cap hides is bounded, what is known has a value."""

    def contrast(before: float, after: float | None, low: float, high: float) -> Contrast:
        known = Figure(before, before * 0.9, before * 1.1)
        status: Literal["ok", "bounded"] = "bounded" if after is None else "ok"
        change = Figure(None if after is None else after - before, low - before, high - before, status)
        return Contrast(before, known, Figure(after, low, high, status), change)

    nothing = Figure(0.0, 0.0, 0.0)
    chain = {
        "streams_cut_ratio": contrast(0.12, None, 0.0, 0.13),
        "success_ratio": contrast(0.8, None, 0.81, 0.97),
        "calls_per_request": contrast(5.1, 4.05, 4.01, 4.1),
        "tokens_in_vain": contrast(12_345.0, None, 800.0, 52_000.0),
        "amplification": contrast(1.4, 1.05, 1.02, 1.09),
    }
    hop = {
        "cut_ratio": contrast(0.1, None, 0.0, 0.11),
        "cut_by_total_timeout": contrast(0.1, None, 0.0, 0.11),
        "cut_by_per_try_timeout": Contrast(0.0, nothing, nothing, nothing),
        "success_ratio": contrast(0.85, 0.95, 0.93, 0.97),
        "peak_concurrency": contrast(40.0, 44.0, 42.0, 46.0),
    }
    row = SimulatedRow({"hop": "gateway>generator"}, 1200, hop)
    note = "gateway>generator: 120 of 1,200 calls were cut later than any was seen to end (3 s)"
    return Simulation(START, END, 4800, 1200, "observed", 0.95, 0, chain, (row,), (note,))


def token_times() -> TokenTimes:
    """A model whose time per token is known, with a line and a timeout; one of which too few calls tell."""
    known = PerToken(
        target={"hop": "gateway>generator", "model": "large"},
        calls=600,
        cut=9,
        off_the_line=2,
        per_token=(Quantile(0.5, 0.036, 0.035, 0.037, "ok"), Quantile(0.99, 0.06, 0.05, 0.08, "ok")),
        base_s=Interval(0.3, 0.2, 0.4),
        per_output_token_s=Interval(0.036, 0.035, 0.037),
        per_input_token_s=Interval(0.0, 0.0, 0.0),
        survivors=False,
        timeout=TokenTimeout(224, 26.0, 2.9, 0.103),
    )
    unknown = Quantile(0.99, None, None, None, "not_identifiable", needs_calls=239)
    few = replace(
        known, target={"hop": "gateway>generator", "model": "small"}, calls=60, per_token=(known.per_token[0], unknown)
    )
    none = replace(few, base_s=None, per_output_token_s=None, per_input_token_s=None, survivors=True, timeout=None)
    return TokenTimes((known, none), (0.5, 0.99))


def callers() -> Security:
    """A hop that is proved in part, a host that nobody approved, and a finding."""
    gateway, vectors = (f"spiffe://cluster.local/ns/chat/sa/{name}" for name in ("gateway", "vectors"))
    proved = Edge("gateway", "vectors", "tenants", "internal", gateway, vectors, 12345, 12345, 0, 7, "proxy_in")
    plain = replace(proved, caller_identity=None, callee_identity=None, calls=60, mutual=0, plain=40)
    hosts = (
        Host("generator", "api.openai.com", ("gpt-5",), 900, approved=True),
        Host("generator", "llm.example.org", (), 7, approved=False),
    )
    finding = Exposure(
        "MS431",
        "error",
        "gateway>vectors",
        "40 of 12,405 calls came without a certificate",
        "ask for one",
        40,
        ("gateway",),
    )
    return Security((proved, plain), hosts, (finding,), START, END)


def resilience() -> Resilience:
    """A callee past its knee and one that metrics alone know; a broken pod and a slow one, out once; two zones."""
    bears = Bearing(19.5, 18.0, 21.2)
    knee, none = Knee("found", 58.0, 19.5, 18.0, 21.2, 8.1), Knee("none", 4.2, rise_ratio=0.02)
    levels = (Level(4.0, 1.0, 320), Level(16.2, 1.03, 900), Level(31.0, 3.6, 410))
    slow = HopLimit("gateway>generator", 10, "first tokens leave their level at 19.5")
    quiet = HopLimit("gateway>retriever", None, "no knee up to 4.2 calls in progress on average")
    loads = (
        Load("generator", 2000, 16.5, 58.0, "first tokens", "calls", knee, None, bears, levels, (slow,)),
        Load("retriever", 90_000, 1.2, 4.2, "whole calls", "metrics", none, None, None, (), (quiet,)),
    )
    pods = (
        Pod("gateway>generator", "generator-0", 700, 7, False, 1.41, 1.3, 1.52),
        Pod("gateway>generator", "generator-1", 650, 300, True, None, None, None),
    )
    out = Out("gateway>generator", "generator-1", START, START + timedelta(seconds=40), "failure_percentage")
    zones = (
        ZonePair("gateway>generator", "a", "a", 900, 0.31, 0.3, 0.33, 0.01, 0.005, 0.02, 0.0),
        ZonePair("gateway>generator", "a", "b", 100, None, None, None, 0.0, 0.0, 0.03, None),
    )
    return Resilience(loads, pods, (out,), zones, ("gateway>retriever: no knee up to 4.2 calls in progress on average",))


ANSWERS: Final = {
    "report": report,
    "recommend": recommendations,
    "support": supports,
    "backtest": backtest,
    "doctor": diagnosis,
    "security": callers,
    "resilience": resilience,
    "check": findings,
    "chain": chain,
    "compare": comparison,
    "tokens": token_times,
    "slo": objectives,
    "simulate": simulation,
}
