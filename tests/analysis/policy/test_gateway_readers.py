"""The Gateway API, Envoy Gateway and Envoy AI Gateway."""

from meshslo.analysis.policy.deployed import Deployed, read_deployed
from tests.support.manifests import AI_GATEWAY, ENVOY_GATEWAY, GATEWAY_API


def found(
    deployed: Deployed, setting: str, callee: str = "generator", route: str | None = None, model: str | None = None
) -> object:
    placed = deployed.find(setting, callee, route, model)
    return None if placed is None else placed.value


def source(deployed: Deployed, setting: str, callee: str) -> str:
    placed = deployed.find(setting, callee)
    return "" if placed is None else placed.source


def test_the_longer_prefix_goes_first_whatever_the_order_of_files() -> None:
    deployed = read_deployed({"g.yaml": GATEWAY_API})
    assert found(deployed, "total_timeout", route="/v1/chat") == 90.0
    assert found(deployed, "total_timeout", route="/other") == 10.0


def test_the_backends_limit_is_that_of_a_try_where_there_are_retries() -> None:
    deployed = read_deployed({"g.yaml": GATEWAY_API})
    read = [found(deployed, name) for name in ("per_try_timeout", "retry_attempts", "retry_on")]
    assert read == [4.0, 2, "connect-failure,503"]


def test_the_backends_limit_is_the_total_where_there_are_none() -> None:
    deployed = read_deployed({"g.yaml": GATEWAY_API.replace("      retry: {codes: [503]}\n", "")})
    assert (found(deployed, "total_timeout"), found(deployed, "per_try_timeout")) == (4.0, None)


def test_a_timeout_of_0_is_none() -> None:
    deployed = read_deployed({"g.yaml": GATEWAY_API.replace("request: 10s", "request: 0s").replace(", backendRequest: 4s", "")})
    assert found(deployed, "total_timeout") is None


def test_a_rate_budget_is_read_for_its_service() -> None:
    deployed = read_deployed({"g.yaml": GATEWAY_API})
    assert [found(deployed, name) for name in ("retry_budget_ratio", "retry_budget_min_per_s")] == [0.02, 0.5]


def test_envoy_gateway_policies_reach_the_routes_they_select() -> None:
    deployed = read_deployed({"e.yaml": ENVOY_GATEWAY})
    read = {
        name: found(deployed, name)
        for name in (
            "total_timeout",
            "idle_gap_timeout",
            "retry_attempts",
            "per_try_timeout",
            "retry_budget_ratio",
            "max_concurrent_requests",
            "max_pending",
            "consecutive_5xx",
            "interval",
            "connect_timeout",
        )
    }
    assert read == {
        "total_timeout": None,
        "idle_gap_timeout": 20.0,
        "retry_attempts": 3,
        "per_try_timeout": 5.0,
        "retry_budget_ratio": 0.025,
        "max_concurrent_requests": 50,
        "max_pending": 1024,
        "consecutive_5xx": 9,
        "interval": 3.0,
        "connect_timeout": 1.0,
    }
    assert "503" in str(found(deployed, "retry_on"))


def test_envoy_gateways_15_seconds_hold_where_nobody_said_anything() -> None:
    deployed = read_deployed({"e.yaml": ENVOY_GATEWAY})
    assert found(deployed, "total_timeout", "retriever", "/search") == 15.0
    assert "Envoy Gateway's default" in str(deployed.find("total_timeout", "retriever", "/search"))


def test_a_policy_of_the_route_replaces_its_gateways() -> None:
    whole = """\
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: edge}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]
  timeout: {http: {requestTimeout: 45s}}
"""
    deployed = read_deployed({"e.yaml": ENVOY_GATEWAY + whole})
    assert found(deployed, "total_timeout", "retriever", "/search") == 45.0
    assert found(deployed, "total_timeout") is None


def test_without_envoy_gateways_resources_its_defaults_are_nobodys() -> None:
    alone = ENVOY_GATEWAY.partition("---\napiVersion: gateway.envoyproxy.io")[0]
    assert read_deployed({"e.yaml": alone}).find("total_timeout", "generator") is None


def test_a_gateway_of_another_class_is_not_envoy_gateways() -> None:
    gateway = """\
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec: {gatewayClassName: istio}
"""
    assert read_deployed({"e.yaml": ENVOY_GATEWAY + gateway}).find("total_timeout", "retriever", "/search") is None
    own = ENVOY_GATEWAY + gateway.replace("istio", "eg")
    assert read_deployed({"e.yaml": own}).find("total_timeout", "retriever", "/search") is not None


def test_the_ai_gateways_60_seconds_and_models_are_read() -> None:
    deployed = read_deployed({"a.yaml": AI_GATEWAY})
    assert found(deployed, "total_timeout", "large-pool", model="large") == 60.0
    assert found(deployed, "idle_gap_timeout", "large-pool", model="large") == 7.0
    assert found(deployed, "total_timeout", "large-pool", model="small") is None
