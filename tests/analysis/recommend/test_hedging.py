"""Hedging of retrieval, on calls whose slowness is chance, or goes along with the query."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from meshslo.analysis.config import parse_config
from meshslo.analysis.emit import emit
from meshslo.analysis.policy.deployed import Deployed, read_deployed
from meshslo.analysis.recommend import Recommendation, Recommendations, observe
from meshslo.analysis.recommend.hedging import RECOMMENDER
from meshslo.telemetry.schema import conform
from tests.support.calls import make_call, make_calls
from tests.support.envoy import Envoy, bootstrap, running
from tests.support.net import free_port
from tests.support.pods import Answer, Pod, ask_at, serving
from tests.support.policies import advice_of, wanted
from tests.support.scenes import plain_calls

IDEMPOTENT = '[hops."gateway>retriever"]\nidempotent = true'
HOP = {"caller": "gateway", "callee": "retriever", "route": "/search", "streaming": False, "chunks": 1, "vantage": "client"}


def searches(*, stays: float = 0.0, tried_again: bool = True, seed: int = 2) -> pl.DataFrame:
    """4,000 searches, 2 % of them slow (1 s, not 0.1 s); the slow ones are tried again, and slow again with `stays`."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(4000):
        slow = rng.random() < 0.02
        trace = {"trace_id": number.to_bytes(16, "big"), "at_s": number * 0.3}
        rows.append(make_call(duration_s=_took(rng, slow=slow), attempt=1, **trace, **HOP))
        if slow and tried_again:
            again = rng.random() < stays or rng.random() < 0.02
            rows.append(make_call(duration_s=_took(rng, slow=again), attempt=2, **trace, **HOP))
    return make_calls(rows)


def _took(rng: np.random.Generator, *, slow: bool) -> float:
    return float((1.0 if slow else 0.1) * rng.lognormal(0, 0.15))


def answer(calls: pl.DataFrame, config: str = IDEMPOTENT, deployed: Deployed | None = None) -> Recommendation:
    (item,) = RECOMMENDER.recommend(observe(calls.lazy(), parse_config(config), deployed))
    return item


def test_slowness_that_is_chance_is_hedged_with_the_gain_that_follows() -> None:
    item = answer(searches())
    assert item.status == "change"
    assert item.proposed is not None
    assert 0.1 < float(item.proposed.value) < 0.25
    tail = item.effect["p99_s"]
    assert tail.before == pytest.approx(1.1, rel=0.3)
    assert tail.after_high is not None
    assert tail.after_high < 0.5


def test_slowness_that_stays_with_the_query_is_not() -> None:
    item = answer(searches(stays=1.0))
    assert (item.status, item.proposed) == ("keep", None)
    assert "for a reason that stays" in item.reason


def test_without_calls_tried_again_the_gain_is_a_band_and_no_advice() -> None:
    item = answer(searches(tried_again=False))
    assert (item.status, item.proposed) == ("not_identifiable", None)
    assert "30 more slow calls that are tried again are needed" in item.reason
    tail = item.effect["p99_s"]
    assert tail.after_low < 0.5 < tail.after_high  # type: ignore[operator]


def test_nothing_is_sent_twice_where_nobody_said_that_does_no_harm() -> None:
    item = answer(searches(), "")
    assert (item.status, item.proposed) == ("keep", None)
    assert "idempotent" in item.reason


@pytest.mark.parametrize("made", [{"streaming": True, "chunks": 40, "first_token_s": 0.2}, {"output_tokens": 80}])
def test_a_generation_is_never_hedged(made: dict[str, object]) -> None:
    """Not where it comes whole either, nor where a proxy that knows no route saw it."""
    calls = plain_calls(np.full(500, 1.0), **made)
    unnamed = calls.with_columns(
        vantage=pl.lit("proxy_out"), route=pl.lit(None, dtype=pl.String), output_tokens=None, chunks=None
    )
    both = pl.concat([calls, conform(unnamed)])
    assert RECOMMENDER.recommend(observe(both.lazy(), parse_config('[hops."gateway>generator"]\nidempotent = true'))) == []


def test_envoy_holds_it_and_what_it_holds_is_kept() -> None:
    advice = Recommendations(items=(answer(searches()),))
    (document,) = emit("envoy", advice).documents
    manager = yaml.safe_load(document.text)["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    action = manager["typed_config"]["route_config"]["virtual_hosts"][0]["routes"][0]["route"]
    assert action["hedge_policy"] == {"hedge_on_per_try_timeout": True}
    assert action["retry_policy"]["num_retries"] == 1
    assert answer(searches(), deployed=read_deployed({document.path: document.text})).status == "keep"


@pytest.mark.parametrize("mesh", ["istio", "linkerd", "gateway-api", "envoy-gateway"])
def test_no_other_mesh_does(mesh: str) -> None:
    emission = emit(mesh, Recommendations(items=(answer(searches()),)))
    (item,) = emission.unexpressed
    assert "caller's own code" in item.reason


@pytest.mark.system
@pytest.mark.alone
def test_on_a_real_envoy_the_second_call_answers_where_the_first_is_slow(tmp_path: Path) -> None:
    """Every other call takes 3 s and the rest 50 ms: with a second one sent after 0.3 s nobody waits 3 s."""
    pod, envoy = (
        Pod("retriever-0", lambda asked: Answer(wait_s=3.0 if asked % 2 == 0 else 0.05)),
        Envoy(free_port(), free_port()),
    )
    with serving([pod]):
        plain = yaml.safe_dump(bootstrap(envoy, [pod.port]))
        (document,) = emit("envoy", advice_of(wanted("hedge_delay", 0.3, route=None)), manifests={"e.yaml": plain}).documents
        with running(tmp_path, envoy, document.text):
            calls = make_calls(ask_at(f"{envoy.url}/", [0.0, 4.0, 8.0]))
    assert calls["outcome"].to_list() == ["ok"] * 3
    assert calls["duration_s"].min() > 0.3  # type: ignore[operator]
    assert calls["duration_s"].max() < 2.0  # type: ignore[operator]
    assert pod.asked == 6
