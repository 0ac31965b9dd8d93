from pathlib import Path
from typing import Any

import pytest
import yaml

from meshslo.analysis.config import Emit
from meshslo.analysis.emit import Emission, emit
from meshslo.analysis.recommend import observe, recommend
from tests.support.crds import problems
from tests.support.golden import assert_golden
from tests.support.policies import advice_of, retries, timeout, wanted
from tests.support.scenes import CONFIG, chain_calls

GOLDEN = Path(__file__).parent / "golden"
SCHEMA = {"HTTPRoute": "gateway-api", "BackendTrafficPolicy": "envoy-gateway"}


def documents(emission: Emission) -> list[dict[str, Any]]:
    return [body for document in emission.documents for body in yaml.safe_load_all(document.text)]


def policy(emission: Emission) -> dict[str, Any]:
    """The spec of the first policy."""
    return next(body["spec"] for body in documents(emission) if body["kind"] == "BackendTrafficPolicy")


@pytest.mark.parametrize("cap_s", [3.0, None])
def test_documents_pass_the_schema(cap_s: float | None) -> None:
    found = documents(emit("envoy-gateway", recommend(observe(chain_calls(cap_s=cap_s).lazy(), CONFIG))))
    assert {body["kind"] for body in found} == set(SCHEMA)
    for body in found:
        assert problems(body, SCHEMA[body["kind"]]) == []


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("timeout", "http", "requestTimeout"), "1.5s", "does not match"),
        (("timeout", "http", "idleTimeout"), "1s", "unexpected"),
        (("targetRefs",), [{"group": "", "kind": "Service", "name": "generator"}], "targetRefs"),
        (("circuitBreaker", "retryBudget", "percent", "numerator"), 99_999, "less than or equal to denominator"),
        (("retry", "retryOn", "httpStatusCodes"), [503], "need the trigger"),
    ],
)
def test_the_schema_check_can_fail(path: tuple[str, ...], value: object, says: str) -> None:
    body = next(b for b in documents(emit("envoy-gateway", advice_of(timeout(2.0), *retries(1)))) if b["kind"] != "HTTPRoute")
    assert problems(body, "envoy-gateway") == []
    *holders, key = path
    node = body["spec"]
    for holder in holders:
        node = node[holder]
    node[key] = value
    assert any(says in problem for problem in problems(body, "envoy-gateway"))


def test_the_golden_pair() -> None:
    advice = advice_of(
        timeout(45.0),
        timeout(61.5, model="large"),
        timeout(1.5, setting="idle_gap_timeout"),
        timeout(0.25, setting="per_try_timeout"),
        *retries(1),
        wanted("max_concurrent_requests", 40),
        wanted("consecutive_5xx", 3),
        wanted("interval", 2.5),
    )
    assert_golden(GOLDEN / "envoy-gateway", emit("envoy-gateway", advice))


def test_no_retries_is_no_block() -> None:
    emission = emit("envoy-gateway", advice_of(timeout(2.0), timeout(0.5, setting="per_try_timeout"), *retries(0)))
    assert "retry" not in policy(emission)
    assert {item.setting for item in emission.unexpressed} == {"per_try_timeout"}


def test_a_share_keeps_its_fraction() -> None:
    assert policy(emit("envoy-gateway", advice_of(*retries(1))))["circuitBreaker"]["retryBudget"] == {
        "percent": {"numerator": 17, "denominator": 1000},
        "minRetryConcurrency": 1,
    }


def test_what_an_older_release_lacks_is_said() -> None:
    advice = advice_of(timeout(2.0), timeout(0.4, setting="idle_gap_timeout"), *retries(1))
    emission = emit("envoy-gateway", advice, settings=Emit(mesh_version="1.7.0"))
    assert policy(emission)["timeout"] == {"http": {"requestTimeout": "2s"}}
    assert "circuitBreaker" not in policy(emission)
    assert {item.setting for item in emission.unexpressed} == {
        "idle_gap_timeout",
        "retry_budget_ratio",
        "retry_budget_min_per_s",
    }
