from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshslo.analysis.config import Emit
from meshslo.analysis.emit import Emission, emit
from meshslo.analysis.recommend import Recommendations, observe, recommend
from tests.support.crds import problems
from tests.support.golden import assert_golden
from tests.support.policies import advice_of, retries, timeout
from tests.support.scenes import CONFIG, chain_calls

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = ("1.30.3", "1.31.0-rc.0")


def documents(emission: Emission) -> list[dict[str, Any]]:
    return [body for document in emission.documents for body in yaml.safe_load_all(document.text)]


def find(emission: Emission, kind: str) -> dict[str, Any]:
    (found,) = [body for body in documents(emission) if body["kind"] == kind]
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("cap_s", [3.0, None])
def test_documents_pass_the_meshs_own_schema(version: str, cap_s: float | None) -> None:
    advice = recommend(observe(chain_calls(cap_s=cap_s).lazy(), CONFIG))
    emission = emit("istio", advice, settings=Emit(mesh_version=version.partition("-")[0]))
    found = documents(emission)
    assert {body["kind"] for body in found} >= {"VirtualService", "DestinationRule"}
    for body in found:
        assert problems(body, "istio", version) == []


def test_the_schema_check_can_fail() -> None:
    body = find(emit("istio", advice_of(timeout(2.0))), "VirtualService")
    entry = body["spec"]["http"][0]
    for key, value in (("timeout", "0s"), ("idleTimeout", "1s"), ("retries", {"attempts": 1, "retryOn": "503, reset"})):
        broken = body | {"spec": body["spec"] | {"http": [entry | {key: value}]}}
        assert problems(broken, "istio", "1.30.3"), key


def test_the_golden_pair() -> None:
    advice = advice_of(
        timeout(45.0),
        timeout(60.0, model="large"),
        timeout(1.5, setting="idle_gap_timeout"),
        timeout(0.25, setting="per_try_timeout"),
        *retries(1),
    )
    assert_golden(GOLDEN / "istio", emit("istio", advice))


def test_a_models_value_stands_before_the_routes_and_the_routes_before_the_rest() -> None:
    http = find(emit("istio", advice_of(timeout(45.0), timeout(60.0, model="large"))), "VirtualService")["spec"]["http"]
    assert [entry.get("match") for entry in http] == [
        [{"uri": {"exact": "/v1/chat"}, "headers": {"x-model": {"exact": "large"}}}],
        [{"uri": {"exact": "/v1/chat"}}],
        None,
    ]
    assert [entry.get("timeout") for entry in http] == ["60s", "45s", None]


def test_a_route_template_becomes_a_regular_expression() -> None:
    http = find(emit("istio", advice_of(timeout(2.0, route="/items/{id}/v1.0"))), "VirtualService")["spec"]["http"]
    assert http[0]["match"] == [{"uri": {"regex": r"/items/[^/]+/v1\.0"}}]


def test_no_retries_is_attempts_zero_and_nothing_else() -> None:
    advice = advice_of(timeout(2.0), timeout(0.3, setting="per_try_timeout"), *retries(0))
    emission = emit("istio", advice)
    assert find(emission, "VirtualService")["spec"]["http"][0]["retries"] == {"attempts": 0}
    (missing,) = [item for item in emission.unexpressed if item.setting == "per_try_timeout"]
    assert "arming it obliges to repeat a call that may have begun" in missing.reason


def test_the_idle_timeout_becomes_a_filter_on_the_named_route() -> None:
    emission = emit("istio", advice_of(timeout(2.0), timeout(0.4, setting="idle_gap_timeout")))
    name = find(emission, "VirtualService")["spec"]["http"][0]["name"]
    (patch,) = find(emission, "EnvoyFilter")["spec"]["configPatches"]
    assert patch["match"]["routeConfiguration"]["vhost"]["route"]["name"] == name
    assert patch["patch"]["value"] == {"route": {"idle_timeout": "0.4s"}}
    assert "check it after each" in emission.unexpressed[0].reason


@pytest.mark.parametrize(
    ("version", "budget", "unexpressed"),
    [
        ("1.26.2", None, 2),
        ("1.30.3", {"percent": 1.7, "minRetryConcurrency": 1}, 2),
        ("1.31.0", {"percent": 1.7, "minRetryConcurrency": 1, "budgetInterval": "10s"}, 0),
    ],
)
def test_the_budget_is_what_the_version_can_do(version: str, budget: dict[str, Any] | None, unexpressed: int) -> None:
    emission = emit("istio", advice_of(*retries(1)), settings=Emit(mesh_version=version))
    rules = [body["spec"]["trafficPolicy"]["retryBudget"] for body in documents(emission) if body["kind"] == "DestinationRule"]
    assert rules == ([] if budget is None else [budget])
    assert len(emission.unexpressed) == unexpressed


CURRENT = """\
# Kept by the platform team.
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: generator-routes
  namespace: rag
  labels: {team: platform}
spec:
  hosts: [generator.rag.svc.cluster.local]
  gateways: [mesh]
  http:
    - match:
        - headers: {x-debug: {exact: "1"}}
      route: [{destination: {host: generator.rag.svc.cluster.local, subset: debug}}]
    - name: primary  # canary since Monday
      route:
        - destination: {host: generator.rag.svc.cluster.local, subset: v1}
          weight: 90
        - destination: {host: generator.rag.svc.cluster.local, subset: v2}
          weight: 10
      timeout: 3s
"""


def test_what_a_manifest_in_use_holds_beyond_the_settings_stays() -> None:
    advice = advice_of(timeout(45.0), timeout(60.0, model="large"))
    emission = emit("istio", advice, manifests={"vs.yaml": CURRENT})
    body = find(emission, "VirtualService")
    assert body["metadata"] == {"name": "generator-routes", "namespace": "rag", "labels": {"team": "platform"}}
    debug, large, chat, primary = body["spec"]["http"]
    assert debug == yaml.safe_load(CURRENT)["spec"]["http"][0]
    assert [d["weight"] for d in large["route"]] == [d["weight"] for d in chat["route"]] == [90, 10]
    assert [entry["timeout"] for entry in (large, chat, primary)] == ["60s", "45s", "3s"]
    assert "# canary since Monday" in emission.documents[0].text
    assert problems(body, "istio", "1.30.3") == []


def test_what_is_added_stands_beside_what_is_in_use() -> None:
    """In another namespace, or under a shorter host, it would hold for nobody."""
    advice = advice_of(timeout(45.0), timeout(0.4, setting="idle_gap_timeout"), *retries(1))
    emission = emit("istio", advice, manifests={"vs.yaml": CURRENT})
    rule = find(emission, "DestinationRule")
    assert rule["spec"]["host"] == "generator.rag.svc.cluster.local"
    assert {rule["metadata"]["namespace"], find(emission, "EnvoyFilter")["metadata"]["namespace"]} == {"rag"}


def test_the_longest_of_several_callers_serves_all() -> None:
    other = replace(timeout(80.0), target=replace(timeout(80.0).target, hop="batch>generator"))
    http = find(emit("istio", advice_of(timeout(45.0), other)), "VirtualService")["spec"]["http"]
    assert http[0]["timeout"] == "80s"


def test_what_is_not_identifiable_keeps_its_present_value() -> None:
    unknown = replace(timeout(45.0), status="not_identifiable", proposed=None)
    http = find(emit("istio", Recommendations(items=(unknown,))), "VirtualService")["spec"]["http"]
    assert http[0]["timeout"] == "3s"
