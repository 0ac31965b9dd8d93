"""Breakers and ejection in each mesh's own fields."""

from typing import Any

import pytest
import yaml

from meshslo.analysis.emit import emit
from meshslo.analysis.policy.deployed import read_deployed
from meshslo.analysis.recommend import Recommendation, Recommendations
from tests.support.policies import advice_of, timeout, wanted

VALUES = {
    "max_concurrent_requests": 24,
    "max_pending": 24,
    "max_connections": 48,
    "consecutive_5xx": 4,
    "consecutive_gateway_failures": 3,
    "interval": 2.5,
    "base_ejection_time": 30.0,
    "max_ejection_percent": 34,
    "enforcing_success_rate": 0,
}
SHARES = {"failure_percentage_threshold": 40, "failure_percentage_minimum_hosts": 2, "failure_percentage_request_volume": 12}
RATES = {
    "enforcing_success_rate": 100,
    "success_rate_stdev_factor": 2900,
    "success_rate_minimum_hosts": 5,
    "success_rate_request_volume": 93,
}
ADVICE = advice_of(*(wanted(setting, value, route=None) for setting, value in VALUES.items()))


def emitted(mesh: str, advice: Recommendations = ADVICE, manifests: dict[str, str] | None = None) -> dict[str, str]:
    return {document.path: document.text for document in emit(mesh, advice, manifests=manifests).documents}


def bodies(mesh: str) -> list[Any]:
    return [body for text in emitted(mesh).values() for body in yaml.safe_load_all(text)]


def test_istio_holds_them_in_a_destination_rule() -> None:
    (rule,) = bodies("istio")
    assert rule["kind"] == "DestinationRule"
    assert rule["spec"]["trafficPolicy"] == {
        "connectionPool": {
            "http": {"http2MaxRequests": 24, "http1MaxPendingRequests": 24},
            "tcp": {"maxConnections": 48},
        },
        "outlierDetection": {
            "consecutive5xxErrors": 4,
            "consecutiveGatewayErrors": 3,
            "interval": "2.5s",
            "baseEjectionTime": "30s",
            "maxEjectionPercent": 34,
        },
    }


def test_envoy_holds_them_in_the_cluster_and_judges_by_nothing_else() -> None:
    (bootstrap,) = bodies("envoy")
    (cluster,) = bootstrap["static_resources"]["clusters"]
    assert cluster["circuit_breakers"]["thresholds"] == [
        {"max_requests": 24, "max_pending_requests": 24, "max_connections": 48}
    ]
    assert cluster["outlier_detection"] == {
        "consecutive_5xx": 4,
        "consecutive_gateway_failure": 3,
        "enforcing_consecutive_gateway_failure": 100,
        "enforcing_success_rate": 0,
        "interval": "2.5s",
        "base_ejection_time": "30s",
        "max_ejection_percent": 34,
    }


@pytest.mark.parametrize("values", [SHARES, RATES], ids=["failure percentage", "success rate"])
def test_shares_of_failures_are_envoys_alone(values: dict[str, float]) -> None:
    advice = advice_of(*(wanted(setting, value, route=None) for setting, value in (VALUES | values).items()))
    files = emitted("envoy", advice)
    deployed = read_deployed(files)
    assert {name: placed.value for name in values if (placed := deployed.find(name, "generator"))} == values
    assert emitted("envoy", advice, files) == files
    enforced = yaml.safe_load(files["generator.yaml"])["static_resources"]["clusters"][0]["outlier_detection"]
    assert (enforced.get("enforcing_failure_percentage"), enforced["enforcing_success_rate"]) == (
        (100, 0) if values is SHARES else (None, 100)
    )
    missing = emit("istio", advice).unexpressed
    assert {item.setting for item in missing} == set(values)
    assert all("The closest is a lower consecutive5xxErrors" in item.reason for item in missing)


def test_envoy_gateway_has_the_threshold_and_says_what_it_leaves_on() -> None:
    emission = emit("envoy-gateway", advice_of(*(wanted(name, value, route=None) for name, value in (VALUES | SHARES).items())))
    (text,) = [document.text for document in emission.documents]
    (policy,) = [body for body in yaml.safe_load_all(text) if body["kind"] == "BackendTrafficPolicy"]
    assert policy["spec"]["healthCheck"]["passive"]["failurePercentageThreshold"] == 40
    reasons = {item.setting: item.reason for item in emission.unexpressed}
    assert reasons.keys() == {*SHARES, "enforcing_success_rate"} - {"failure_percentage_threshold"}
    assert "leaves Envoy's own on" in reasons["enforcing_success_rate"]


@pytest.mark.parametrize("mesh", ["istio", "envoy"])
def test_what_is_emitted_is_read_again(mesh: str) -> None:
    deployed = read_deployed(emitted(mesh))
    assert {name: placed.value for name in VALUES if (placed := deployed.find(name, "generator"))} == VALUES


@pytest.mark.parametrize("mesh", ["istio", "envoy"])
def test_emitting_on_top_changes_nothing_and_keeps_what_else_there_is(mesh: str) -> None:
    once = emitted(mesh)
    assert emitted(mesh, manifests=once) == once
    own = {name: text.replace("24", "24  # ours") for name, text in once.items()}
    kept = emitted(mesh, advice_of(wanted("consecutive_5xx", 9, route=None)), own)
    assert "24  # ours" in "".join(kept.values())


SERVICE = """apiVersion: v1
kind: Service
metadata:
  name: generator
spec:
  ports:
    - port: 80  # ours
"""


def test_linkerd_ejects_by_annotations_of_the_service_in_use() -> None:
    files = emitted("linkerd", manifests={"service.yaml": SERVICE})
    (service,) = [body for text in files.values() for body in yaml.safe_load_all(text)]
    assert (service["kind"], service["spec"]) == ("Service", {"ports": [{"port": 80}]})
    assert service["metadata"]["annotations"] == {
        "balancer.linkerd.io/failure-accrual": "consecutive",
        "balancer.linkerd.io/failure-accrual-consecutive-max-failures": "4",
        "balancer.linkerd.io/failure-accrual-consecutive-min-penalty": "30s",
    }
    deployed = read_deployed(files)
    assert [deployed.find(name, "generator").value for name in ("consecutive_5xx", "base_ejection_time")] == [4, 30.0]  # type: ignore[union-attr]
    assert emitted("linkerd", manifests=files) == files
    reasons = {item.setting: item.reason for item in emit("linkerd", ADVICE, manifests=files).unexpressed}
    assert "all pods can be out at once" in reasons["max_ejection_percent"]
    assert not {"consecutive_5xx", "base_ejection_time"} & reasons.keys()


def test_linkerds_longest_penalty_is_no_shorter_than_the_first() -> None:
    (text,) = emitted("linkerd", advice_of(*ejection(90.0)), {"service.yaml": SERVICE}).values()
    assert "max-penalty: 90s" in text


def test_without_its_service_linkerd_says_the_command_and_beside_a_profile_why_not() -> None:
    reasons = [item.reason for item in emit("linkerd", advice_of(*ejection(30.0))).unexpressed]
    assert all("kubectl annotate service generator balancer.linkerd.io/failure-accrual=consecutive" in each for each in reasons)
    profile = "apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\nmetadata: {name: generator.chat.svc.cluster.local}\n"
    beside = emit("linkerd", advice_of(*ejection(30.0)), manifests={"a.yaml": SERVICE, "b.yaml": profile})
    assert beside.documents == ()
    assert [("ServiceProfile" in item.reason, item.status) for item in beside.unexpressed] == [(True, "not_expressible")] * 2


def ejection(penalty_s: float) -> list[Recommendation]:
    return [wanted("consecutive_5xx", 4, route=None), wanted("base_ejection_time", penalty_s, route=None)]


@pytest.mark.parametrize("mesh", ["istio", "linkerd", "gateway-api", "envoy-gateway"])
def test_of_what_a_mesh_cannot_hold_at_all_no_resource_is_written(mesh: str) -> None:
    """A route that says nothing would take calls from those in use."""
    emission = emit(mesh, advice_of(wanted("hedge_delay", 0.3)))
    assert emission.documents == ()
    assert [item.setting for item in emission.unexpressed] == ["hedge_delay"]


@pytest.mark.parametrize("mesh", ["envoy", "envoy-gateway"])
def test_where_no_timeout_is_wanted_envoys_own_15_s_do_not_cut_streams(mesh: str) -> None:
    text = "".join(emitted(mesh).values())
    assert "imeout: 0s" in text


@pytest.mark.parametrize("mesh", ["linkerd", "gateway-api"])
def test_other_meshes_say_the_closest_and_its_danger(mesh: str) -> None:
    emission = emit(mesh, ADVICE)
    assert emission.documents == ()
    assert {item.setting for item in emission.unexpressed} == set(VALUES) - {"enforcing_success_rate"}
    assert all("closest" in item.reason for item in emission.unexpressed)
    beside = emit(mesh, advice_of(timeout(45.0), *ADVICE.items))
    assert [document.path for document in beside.documents] == ["generator.yaml"]
    assert "max_concurrent_requests" in beside.documents[0].text
