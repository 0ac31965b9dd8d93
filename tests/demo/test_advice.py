"""What a set of recommendations promises for streams, and what the demo asks of its mesh."""

from pathlib import Path

import pytest

from meshslo.analysis.api import from_calls
from meshslo.analysis.emit import Emission
from meshslo.analysis.recommend.recommendation import Effect, Evidence, Recommendation, Recommendations, Status, Target
from meshslo.demo.advice import Advice, longest_hold_s, write_config
from meshslo.demo.mesh import MISTAKES, Endpoint, Proxy
from meshslo.demo.settings import QUICK, DemoSettings
from tests.support.calls import make_call, make_calls

REPORT = from_calls(make_calls([make_call()])).report(by=["hop"])


def timer(
    hop: str, status: Status, *, before: float | None = None, after: float | None = None, setting: str = "total_timeout"
) -> Recommendation:
    return Recommendation(
        kind="timeout",
        setting=setting,
        code="MS103",
        target=Target(hop, "/v1/chat/completions"),
        current=None,
        proposed=None,
        status=status,
        confidence=0.95,
        reason="",
        evidence=Evidence(calls=1300, censored=0, window_s=60.0),
        effect={"false_timeout_rate": Effect(before=before, after=after)},
    )


def promised(*items: Recommendation) -> float | None:
    return Advice(REPORT, Recommendations(items=items), Emission(()), Emission(())).promised_rate


def test_rates_of_all_timers_of_all_hops_add_up() -> None:
    entry = timer("ingress>gateway", "change", after=0.004)
    idle = timer("ingress>gateway", "change", after=0.006, setting="idle_gap_timeout")
    generation = timer("gateway>generator", "keep", after=0.003)
    assert promised(entry, idle, generation) == pytest.approx(0.013)


def test_streams_timers_that_explore_promise_nothing() -> None:
    assert promised(timer("ingress>gateway", "explore", before=0.13), timer("gateway>generator", "change", after=0.01)) is None


def test_a_callees_timer_that_explores_cuts_at_most_what_its_shorter_one_did() -> None:
    entry = timer("ingress>gateway", "change", after=0.004)
    assert promised(entry, timer("retriever>reranker", "explore", before=0.03)) == pytest.approx(0.034)


def test_a_dead_call_is_held_by_the_entrys_longest_timer(tmp_path: Path) -> None:
    proxy = Proxy("gateway", 8001, 8002, 4318, (Endpoint(9001),), policy=MISTAKES["gateway"])
    assert longest_hold_s({"gateway": proxy.write(tmp_path)}) == 3.0


@pytest.mark.parametrize("settings", [DemoSettings(), QUICK])
def test_the_config_asks_for_what_its_calls_can_show(tmp_path: Path, settings: DemoSettings) -> None:
    config = write_config(tmp_path / "meshslo.toml", settings)
    assert config.objectives.false_timeout_ratio == settings.false_timeout_ratio
    assert config.chain.deadline_s == settings.deadline_s
    assert config.models["small"].max_tokens == 320
    assert config.hop("gateway>retriever").idempotent
    assert not config.hop("gateway>generator").idempotent
