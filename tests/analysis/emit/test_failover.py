"""Priorities of places and zones, in each mesh's own fields and on the real Envoy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from meshslo.analysis.ejection.answers import Answers
from meshslo.analysis.ejection.replay import Ejection, Replay
from meshslo.analysis.emit import Emission, emit
from meshslo.analysis.failover.spill import spill
from meshslo.analysis.policy.deployed import read_deployed
from meshslo.analysis.recommend.recommendation import Recommendations
from tests.support.crds import problems
from tests.support.envoy import Envoy, bootstrap, running
from tests.support.golden import assert_golden
from tests.support.net import free_port, wait_for
from tests.support.pods import Answer, Pod, ask_at, serving
from tests.support.policies import advice_of, wanted

GOLDEN = Path(__file__).parent / "golden"

EJECTION = [
    wanted("consecutive_5xx", 3, route=None),
    wanted("interval", 10.0, route=None),
    wanted("base_ejection_time", 30.0, route=None),
    wanted("max_ejection_percent", 75, route=None),
]
CLUSTERS = advice_of(
    wanted("failover_cluster", "east,west", route=None), *EJECTION, wanted("overprovisioning", 120, route=None)
)
PROVIDERS = advice_of(wanted("failover_provider", "openai,azure", route=None), *EJECTION)
OWN_FIRST = wanted("locality_failover_priority", "topology.kubernetes.io/region,topology.kubernetes.io/zone", route=None)


def front(envoy: Envoy, places: list[tuple[dict[str, str], list[int]]], own: dict[str, str] | None = None) -> dict[str, str]:
    """A bootstrap whose groups of endpoints say where they are, and which says where it is itself."""
    body = bootstrap(envoy, [])
    body["node"] |= {} if own is None else {"locality": own}
    groups = [
        {"locality": locality, "lb_endpoints": [{"endpoint": {"address": _address(port)}} for port in ports]}
        for locality, ports in places
    ]
    cluster = body["static_resources"]["clusters"][0]
    cluster["load_assignment"]["endpoints"] = groups
    # Else workers learn of a second ejection up to a second later, with others of that second.
    cluster["common_lb_config"] = {"update_merge_window": "0s"}
    return {"front.yaml": yaml.safe_dump(body, sort_keys=False)}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


FRONT = front(Envoy(15001, 15000), [({"sub_zone": "west"}, [7001]), ({"sub_zone": "east"}, [7002, 7003])])


def bodies(emission: Emission) -> list[dict[str, Any]]:
    return [body for document in emission.documents for body in yaml.safe_load_all(document.text)]


def test_the_golden_pairs() -> None:
    assert_golden(GOLDEN / "failover-istio", emit("istio", CLUSTERS))
    assert_golden(GOLDEN / "failover-envoy", emit("envoy", CLUSTERS, manifests=FRONT))
    assert_golden(GOLDEN / "failover-ai-gateway", emit("envoy-gateway", PROVIDERS))


@pytest.mark.parametrize(
    ("mesh", "advice", "folder"), [("istio", CLUSTERS, "istio"), ("envoy-gateway", PROVIDERS, "envoy-gateway")]
)
def test_documents_pass_the_meshs_own_schema(mesh: str, advice: Recommendations, folder: str) -> None:
    found = bodies(emit(mesh, advice))
    assert {body["kind"] for body in found} in ({"DestinationRule"}, {"AIGatewayRoute", "BackendTrafficPolicy"})
    for body in found:
        assert problems(body, folder, *(["1.30.3"] if mesh == "istio" else [])) == []


def test_the_schema_of_the_ai_gateway_can_fail() -> None:
    route = next(body for body in bodies(emit("envoy-gateway", PROVIDERS)) if body["kind"] == "AIGatewayRoute")
    route["spec"]["rules"][0]["backendRefs"][0]["priority"] = "first"
    assert problems(route, "envoy-gateway")


@pytest.mark.parametrize(
    ("mesh", "advice", "says"),
    [
        ("istio", PROVIDERS, "the other's key"),
        ("envoy", CLUSTERS, "aggregate cluster"),
        ("envoy-gateway", CLUSTERS, "fallback: true"),
        ("linkerd", CLUSTERS, "not where it answers 503"),
        ("gateway-api", PROVIDERS, "no more of it while the first one fails"),
    ],
)
def test_what_a_mesh_cannot_order_comes_with_the_closest_and_its_danger(mesh: str, advice: Recommendations, says: str) -> None:
    lacking = {item.setting: item for item in emit(mesh, advice).unexpressed}
    item = lacking[advice.items[0].setting]
    assert (item.status, "closest" in item.reason, says in item.reason) == ("not_expressible", True, True), item.reason


def test_a_route_of_the_ai_gateway_in_use_is_put_in_order_and_keeps_what_else_it_has() -> None:
    route = {
        "apiVersion": "aigateway.envoyproxy.io/v1beta1",
        "kind": "AIGatewayRoute",
        "metadata": {"name": "models", "namespace": "ai"},
        "spec": {
            "rules": [
                {
                    "matches": [{"headers": [{"name": "x-ai-eg-model", "value": "m"}]}],
                    "backendRefs": [{"name": "openai", "weight": 3}],
                },
                {"backendRefs": [{"name": "search"}]},
            ]
        },
    }
    emission = emit("envoy-gateway", PROVIDERS, manifests={"ai.yaml": yaml.safe_dump(route)})
    changed, policy = bodies(emission)
    assert changed["spec"]["rules"][0]["backendRefs"] == [
        {"name": "openai", "weight": 3, "priority": 0},
        {"name": "azure", "priority": 1},
    ]
    assert changed["spec"]["rules"][1] == route["spec"]["rules"][1]  # type: ignore[index]
    assert (policy["metadata"], policy["spec"]["targetRefs"][0]["name"]) == ({"name": "models", "namespace": "ai"}, "models")


def test_weights_in_use_exclude_priorities_in_istio() -> None:
    rule = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: generator}
spec:
  host: generator
  trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: eu/a/*, to: {eu/a/*: 80, eu/b/*: 20}}]}}}
"""
    emission = emit("istio", CLUSTERS, manifests={"dr.yaml": rule})
    assert "distribute" in emission.documents[0].text
    assert "another one is there" in next(item.reason for item in emission.unexpressed if item.setting == "failover_cluster")
    both = emit("istio", advice_of(*CLUSTERS.items, OWN_FIRST))
    labels = bodies(both)[0]["spec"]["trafficPolicy"]["loadBalancer"]["localityLbSetting"]["failoverPriority"]
    assert labels == ["topology.istio.io/cluster=east", "topology.kubernetes.io/region", "topology.kubernetes.io/zone"]


@pytest.mark.parametrize(
    ("mesh", "advice", "manifests", "callee"),
    [("istio", CLUSTERS, {}, "generator"), ("envoy", CLUSTERS, FRONT, "generator"), ("envoy-gateway", PROVIDERS, {}, "openai")],
)
def test_what_is_emitted_is_read_again_and_emitted_again(
    mesh: str, advice: Recommendations, manifests: dict[str, str], callee: str
) -> None:
    once = {document.path: document.text for document in emit(mesh, advice, manifests=manifests).documents}
    assert {document.path: document.text for document in emit(mesh, advice, manifests=once).documents} == once
    placed = read_deployed(once).find(advice.items[0].setting, callee)
    assert placed is not None
    value = str(placed.value)
    assert str(advice.items[0].proposed.value).startswith(value)  # type: ignore[union-attr]
    assert read_deployed(once).find("locality_failover_priority", callee) is None


ZONES = {"a-0": "a", "a-1": "a", "b-0": "b"}


def by_pod(
    folder: Path,
    advice: Recommendations,
    own: dict[str, str],
    sick: frozenset[str] = frozenset(),
    zones: Mapping[str, str] = ZONES,
    calls: int = 100,
) -> dict[str, int]:
    """So many calls by pod of `zones`, through a real Envoy under what was emitted, once the sick ones are out."""
    pods = [Pod(name, lambda _, name=name: Answer(503 if name in sick else 200)) for name in zones]  # type: ignore[misc]
    envoy = Envoy(free_port(), free_port())
    with serving(pods):
        groups = [
            ({"region": "eu", "zone": zone}, [pod.port for pod in pods if zones[pod.name] == zone]) for zone in ("b", "a")
        ]
        (document,) = emit("envoy", advice, manifests=front(envoy, groups, own)).documents
        with running(folder, envoy, document.text):
            wait_for(lambda: _out_after_a_call(envoy) == len(sick), what="ejection")
            seen = ask_at(envoy.url, [n / 200.0 for n in range(calls)])
    return {name: sum(call["pod"] == name for call in seen) for name in zones}


def _out_after_a_call(envoy: Envoy) -> int:
    envoy.get()
    return sum(envoy.stats("outlier_detection.ejections_active").values())


@pytest.mark.system
def test_the_real_envoy_keeps_calls_in_the_zone_until_its_pods_are_out(tmp_path: Path) -> None:
    advice, own = advice_of(OWN_FIRST, *EJECTION), {"region": "eu", "zone": "a"}
    assert by_pod(tmp_path, advice, own)["b-0"] == 0
    assert by_pod(tmp_path, advice, own, frozenset({"a-0", "a-1"}))["b-0"] == 100


@pytest.mark.system
def test_the_real_envoy_spreads_a_zones_calls_by_weight(tmp_path: Path) -> None:
    weights = advice_of(wanted("locality_distribute", "a>a=70,a>b=30,b>b=100", route=None))
    assert 10 <= by_pod(tmp_path, weights, {"region": "eu", "zone": "a"})["b-0"] <= 50
    assert by_pod(tmp_path, weights, {"region": "eu", "zone": "b"})["b-0"] == 100


@pytest.mark.system
def test_the_real_envoy_leaves_a_cluster_that_is_out_and_no_other(tmp_path: Path) -> None:
    advice = advice_of(wanted("failover_cluster", "b,a", route=None), *EJECTION)
    assert by_pod(tmp_path, advice, {"zone": "a"})["b-0"] == 100
    assert by_pod(tmp_path, advice, {"zone": "a"}, frozenset({"b-0"}))["b-0"] == 0


@pytest.mark.system
@pytest.mark.parametrize(("percent", "out"), [(140, 1), (140, 2), (120, 2), (100, 1)])
def test_the_real_envoy_moves_what_the_overprovisioning_factor_leaves_over(tmp_path: Path, percent: int, out: int) -> None:
    """The share that is moved is the one `spill` says, on which what a failover would have done rests."""
    pods = [f"a-{n}" for n in range(4)]
    answers = Answers(np.arange(100.0), np.arange(100) % 4, np.zeros(100, dtype=np.int64), (*pods, "b-0"))
    ejected = tuple(Ejection(pod, 0.0, None, "consecutive_5xx") for pod in pods[:out])
    told = spill(answers, Replay(ejected, 0, 0, 0), pods, 30.0, percent / 100.0)
    promised = told.failovers[0].most if told.failovers else 0.0
    advice = advice_of(
        wanted("failover_cluster", "a,b", route=None), *EJECTION, wanted("overprovisioning", percent, route=None)
    )
    zones = dict.fromkeys(pods, "a") | {"b-0": "b"}
    seen = by_pod(tmp_path, advice, {"zone": "a"}, frozenset(pods[:out]), zones, calls=600)
    assert sum(seen[pod] for pod in pods[:out]) == 0
    assert sum(seen.values()) == 600
    # Envoy draws a whole per cent for each call: five standard deviations of 600 draws, and nothing where nothing is moved.
    assert seen["b-0"] / 600 == pytest.approx(promised, abs=5.0 * (promised * (1.0 - promised) / 600) ** 0.5)
