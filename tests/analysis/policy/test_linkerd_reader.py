import pytest

from meshslo.analysis.policy.deployed import Deployed, read_deployed
from meshslo.telemetry.errors import BadInputError
from tests.support.manifests import LINKERD


@pytest.fixture
def linkerd() -> Deployed:
    return read_deployed({"l.yaml": LINKERD})


def found(
    deployed: Deployed, setting: str, callee: str = "generator", route: str | None = None, model: str | None = None
) -> object:
    placed = deployed.find(setting, callee, route, model)
    return None if placed is None else placed.value


def test_a_route_goes_before_its_service(linkerd: Deployed) -> None:
    assert found(linkerd, "total_timeout", route="/v1/chat", model="large") == 90.0
    assert found(linkerd, "idle_gap_timeout", route="/v1/chat", model="large") == 2.0
    assert found(linkerd, "total_timeout", route="/v1/chat") == 30.0
    assert found(linkerd, "idle_gap_timeout") is None


def test_a_route_without_retry_annotations_has_its_services(linkerd: Deployed) -> None:
    assert found(linkerd, "retry_on", route="/v1/chat", model="large") == "connect-failure,refused-stream,gateway-error"
    assert found(linkerd, "retry_attempts", route="/v1/chat", model="large") == 1


def test_a_retry_annotation_on_a_route_hides_those_of_its_service() -> None:
    text = LINKERD.replace("timeout.linkerd.io/idle: 2s", "retry.linkerd.io/limit: 3")
    deployed = read_deployed({"l.yaml": text})
    assert found(deployed, "retry_on", route="/v1/chat", model="large") == "connect-failure,refused-stream"
    assert found(deployed, "retry_attempts", route="/v1/chat", model="large") == 3


def test_circuit_breaking_is_read_with_its_defaults(linkerd: Deployed) -> None:
    assert (found(linkerd, "consecutive_5xx"), found(linkerd, "base_ejection_time")) == (7, 1.0)


def test_a_service_profile_has_the_only_budget(linkerd: Deployed) -> None:
    read = [
        found(linkerd, name, "retriever", "/search")
        for name in ("total_timeout", "retry_budget_ratio", "retry_budget_min_per_s")
    ]
    assert read == [0.3, 0.1, 2.0]


def test_a_service_profile_switches_annotations_off() -> None:
    text = LINKERD.replace("name: retriever.rag", "name: generator.rag")
    deployed = read_deployed({"l.yaml": text})
    assert found(deployed, "total_timeout", route="/v1/chat", model="large") is None
    assert found(deployed, "consecutive_5xx") is None


def test_a_limit_of_0_counts_as_unset() -> None:
    text = LINKERD.replace("retry.linkerd.io/http: gateway-error", 'retry.linkerd.io/limit: "0"')
    assert found(read_deployed({"l.yaml": text}), "retry_attempts") == 1


def test_a_duration_that_is_none_is_named() -> None:
    with pytest.raises(BadInputError, match=r'l\.yaml:6: timeout\.linkerd\.io/request: "soon" is no duration'):
        read_deployed({"l.yaml": LINKERD.replace("request: 30s", "request: soon")})
