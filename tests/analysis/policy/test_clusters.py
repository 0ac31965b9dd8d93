"""Settings that hold for a callee whatever the route: breakers, outlier detection, connect timeouts."""

import pytest

from meshslo.analysis.policy.deployed import Deployed, read_deployed
from meshslo.telemetry.errors import BadInputError

ISTIO = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: generator}
spec:
  host: generator.rag.svc.cluster.local
  trafficPolicy:
    connectionPool:
      tcp: {maxConnections: 7, connectTimeout: 250ms}
      http: {http2MaxRequests: 40, http1MaxPendingRequests: 4, maxRetries: 0}
    outlierDetection:
      consecutive5xxErrors: 3
      baseEjectionTime: 1m
"""

ENVOY = """\
static_resources:
  clusters:
    - name: generator
      connect_timeout: 0.25s
      circuit_breakers:
        thresholds:
          - {priority: HIGH, max_requests: 9}
          - {max_requests: 40}
      outlier_detection: {consecutive_5xx: 3, max_ejection_percent: 50}
    - name: retriever
"""


def settings(deployed: Deployed, callee: str = "generator") -> dict[str, object]:
    return {
        name: placed.value
        for cluster in deployed.clusters
        if cluster.callee == callee
        for name, placed in cluster.settings.items()
    }


def test_a_destination_rule_says_breakers_and_outliers() -> None:
    assert settings(read_deployed({"dr.yaml": ISTIO})) == {
        "max_connections": 7,
        "connect_timeout": 0.25,
        "max_concurrent_requests": 40,
        "max_pending": 4,
        "consecutive_5xx": 3,
        "interval": 10.0,
        "base_ejection_time": 60.0,
        "max_ejection_percent": 10,
        "min_health_percent": 0,
        "enforcing_success_rate": 0,
    }


def test_what_istio_does_unasked_is_said_and_what_is_set_has_its_line() -> None:
    deployed = read_deployed({"dr.yaml": ISTIO})
    read = {name: placed.source for name in ("consecutive_5xx", "interval") if (placed := deployed.find(name, "generator"))}
    assert read == {"consecutive_5xx": "dr.yaml:11", "interval": "dr.yaml:11 (Istio's default)"}


def test_an_envoy_cluster_says_breakers_and_outliers() -> None:
    assert settings(read_deployed({"e.yaml": ENVOY})) == {
        "max_connections": 1024,
        "max_pending": 1024,
        "max_concurrent_requests": 40,
        "max_retries": 3,
        "consecutive_5xx": 3,
        "max_ejection_percent": 50,
        "enforcing_success_rate": 100,
        "success_rate_stdev_factor": 1900,
        "success_rate_minimum_hosts": 5,
        "success_rate_request_volume": 100,
        "interval": 10.0,
        "base_ejection_time": 30.0,
        "connect_timeout": 0.25,
    }


def test_what_envoy_counts_and_does_not_act_on_is_no_setting() -> None:
    told = "{enforcing_failure_percentage: 100, consecutive_gateway_failure: 3, enforcing_consecutive_gateway_failure: 0}"
    found = settings(read_deployed({"e.yaml": ENVOY.replace("{consecutive_5xx: 3, max_ejection_percent: 50}", told)}))
    assert (found["failure_percentage_threshold"], found["failure_percentage_request_volume"]) == (85, 50)
    assert "consecutive_gateway_failures" not in found


def test_envoys_limits_hold_where_nobody_set_any() -> None:
    found = read_deployed({"e.yaml": ENVOY}).find("max_concurrent_requests", "retriever")
    assert found is not None
    assert (found.value, found.source) == (1024, "e.yaml:10 (Envoy's default)")
    assert read_deployed({"e.yaml": ENVOY}).find("consecutive_5xx", "retriever") is None


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("maxConnections: 7", "maxConnections: many", "dr.yaml:8: maxConnections: 'many' is no number"),
        ("connectTimeout: 250ms", "connectTimeout: soon", 'dr.yaml:8: connectTimeout: "soon" is no duration'),
        ("tcp: {maxConnections: 7, connectTimeout: 250ms}", "tcp: [7]", "dr.yaml:8: tcp is no mapping but list"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_its_place(old: str, new: str, sentence: str) -> None:
    with pytest.raises(BadInputError) as raised:
        read_deployed({"dr.yaml": ISTIO.replace(old, new)})
    assert sentence in str(raised.value)
