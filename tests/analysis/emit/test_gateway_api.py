from pathlib import Path
from typing import Any

import pytest
import yaml

from meshslo.analysis.emit import Emission, emit
from meshslo.analysis.recommend import observe, recommend
from tests.support.crds import problems
from tests.support.golden import assert_golden
from tests.support.policies import advice_of, retries, timeout
from tests.support.scenes import CONFIG, chain_calls

GOLDEN = Path(__file__).parent / "golden"


def documents(emission: Emission) -> list[dict[str, Any]]:
    return [body for document in emission.documents for body in yaml.safe_load_all(document.text)]


@pytest.mark.parametrize("cap_s", [3.0, None])
def test_documents_pass_the_schema(cap_s: float | None) -> None:
    found = documents(emit("gateway-api", recommend(observe(chain_calls(cap_s=cap_s).lazy(), CONFIG))))
    assert {body["kind"] for body in found} == {"HTTPRoute", "XBackendTrafficPolicy"}
    for body in found:
        assert problems(body, "gateway-api") == []


def test_the_schema_check_can_fail() -> None:
    body = documents(emit("gateway-api", advice_of(timeout(2.0))))[0]
    body["spec"]["rules"][0]["timeouts"] = {"request": "1.5s"}
    assert problems(body, "gateway-api")


def test_the_golden_pair() -> None:
    advice = advice_of(timeout(45.0), timeout(61.5, model="large"), timeout(1.5, setting="idle_gap_timeout"), *retries(1))
    assert_golden(GOLDEN / "gateway-api", emit("gateway-api", advice))


def test_a_limit_of_one_try_is_no_backend_request() -> None:
    """By the specification that is the whole response: it would cut streams."""
    emission = emit("gateway-api", advice_of(timeout(45.0), timeout(0.5, setting="per_try_timeout"), *retries(1)))
    rule = documents(emission)[0]["spec"]["rules"][0]
    assert rule["timeouts"] == {"request": "45s"}
    assert "per_try_timeout" in {item.setting for item in emission.unexpressed}


def test_retries_cannot_be_switched_off() -> None:
    emission = emit("gateway-api", advice_of(timeout(45.0), *retries(0)))
    assert "retry" not in documents(emission)[0]["spec"]["rules"][0]
    (item,) = emission.unexpressed
    assert "cannot switch retries off" in item.reason


def test_the_budget_is_a_rate_in_whole_per_cent() -> None:
    policy = next(b for b in documents(emit("gateway-api", advice_of(*retries(1)))) if b["kind"] == "XBackendTrafficPolicy")
    assert policy["spec"]["retryConstraint"] == {
        "budget": {"percent": 2, "interval": "10s"},
        "minRetryRate": {"count": 1, "interval": "10s"},
    }
