"""The routing of a rollout in each mesh."""

from typing import Any

import pytest
import yaml

from meshslo.analysis.canary import Rollout, route_documents
from meshslo.analysis.config import Emit
from meshslo.telemetry.errors import BadInputError
from tests.support.crds import problems
from tests.support.envoy import Envoy, bootstrap

STEP = Rollout("generator", "v1", "v2", 25)
CRDS = {
    "istio": ("istio", "1.30.3"),
    "gateway-api": ("gateway-api",),
    "linkerd": ("gateway-api",),
    "envoy-gateway": ("gateway-api",),
}

IN_USE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: chat, namespace: rag}
spec:
  hosts: [generator.rag.svc.cluster.local]
  http:
    - match: [{uri: {prefix: /v1}}, {uri: {prefix: /v2}}]
      timeout: 45s  # from the last run
      route: [{destination: {host: generator}}]
    - route: [{destination: {host: elsewhere}}]
"""


def bodies(mesh: str, step: Rollout = STEP, manifests: dict[str, str] | None = None) -> list[Any]:
    return [
        body for document in route_documents(mesh, step, Emit(), manifests or {}) for body in yaml.safe_load_all(document.text)
    ]


def weighted(manifests: bool = True) -> dict[str, str]:
    body = bootstrap(Envoy(10000, 10001), [10002])
    manager = body["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    shares = [{"name": "generator-v1", "weight": 95}, {"name": "generator-v2", "weight": 5}]
    manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"] = {"weighted_clusters": {"clusters": shares}}
    return {"front.yaml": yaml.safe_dump(body)}


@pytest.mark.parametrize("mesh", sorted(CRDS))
@pytest.mark.parametrize("weight", [0, 25, 100])
def test_the_meshes_own_schemas_accept_it(mesh: str, weight: int) -> None:
    for body in bodies(mesh, Rollout("generator", "v1", "v2", weight)):
        assert problems(body, *CRDS[mesh]) == []


def test_in_istio_the_header_comes_first_and_the_subsets_are_there() -> None:
    service, rule = bodies("istio")
    testers, others = service["spec"]["http"]
    assert testers["match"] == [{"headers": {"x-canary": {"exact": "true"}}}]
    assert [route["destination"]["subset"] for route in testers["route"]] == ["v2"]
    assert {route["destination"]["subset"]: route["weight"] for route in others["route"]} == {"v1": 75, "v2": 25}
    assert [subset["labels"] for subset in rule["spec"]["subsets"]] == [{"version": "v1"}, {"version": "v2"}]


def test_what_is_in_use_is_changed_in_place() -> None:
    service, _ = bodies("istio", manifests={"chat.yaml": IN_USE})
    testers, ours, other = service["spec"]["http"]
    assert (service["metadata"]["name"], ours["timeout"], testers["timeout"]) == ("chat", "45s", "45s")
    assert [match["uri"]["prefix"] for match in testers["match"]] == ["/v1", "/v2"]
    assert all("x-canary" in match["headers"] for match in testers["match"])
    assert other["route"] == [{"destination": {"host": "elsewhere"}}]


@pytest.mark.parametrize("mesh", ["istio", "envoy"])
def test_twice_is_as_good_as_once_and_the_next_step_replaces_the_last(mesh: str) -> None:
    start = {"chat.yaml": IN_USE} if mesh == "istio" else weighted()
    once = {document.path: document.text for document in route_documents(mesh, STEP, Emit(), start)}
    assert {document.path: document.text for document in route_documents(mesh, STEP, Emit(), once)} == once
    back = "".join(document.text for document in route_documents(mesh, Rollout("generator", "v1", "v2", 0), Emit(), once))
    assert "meshslo-canary" not in back


def test_in_the_gateway_api_versions_are_services() -> None:
    (route,) = bodies("gateway-api")
    testers, others = route["spec"]["rules"]
    assert testers["matches"][0]["headers"] == [{"type": "Exact", "name": "x-canary", "value": "true"}]
    assert {each["name"]: each["weight"] for each in others["backendRefs"]} == {"generator-v1": 75, "generator-v2": 25}
    (at_gateway,) = bodies("envoy-gateway")
    assert (at_gateway["spec"]["rules"], at_gateway["spec"]["parentRefs"][0]["kind"]) == (route["spec"]["rules"], "Gateway")


def test_in_envoy_the_weights_of_the_clusters_change() -> None:
    (body,) = bodies("envoy", manifests=weighted())
    manager = body["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    testers, others = manager["route_config"]["virtual_hosts"][0]["routes"]
    assert testers["route"] == {"cluster": "generator-v2"}
    assert [each["weight"] for each in others["route"]["weighted_clusters"]["clusters"]] == [75, 25]


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(
        BadInputError, match=r"generator-v1 and generator-v2 by weight; pass the bootstrap in use with --current"
    ):
        route_documents("envoy", STEP, Emit(), {})
    with pytest.raises(BadInputError, match='no rollout for "consul"; there are envoy'):
        route_documents("consul", STEP, Emit(), {})
