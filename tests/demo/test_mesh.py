"""The mesh of the start: what Envoy is told, and that Envoy accepts it."""

from pathlib import Path

import pytest
import yaml

from meshslo.demo.disturbances import Windows
from meshslo.demo.mesh import BLANKET, MISTAKES, Endpoint, Policy, Proxy
from meshslo.demo.processes import DemoError, validate_bootstrap
from meshslo.demo.settings import ROUTES


def proxy(service: str = "generator", pace: float = 1.0) -> Proxy:
    endpoints = (Endpoint(9001), Endpoint(9002))
    return Proxy(service, 8001, 8002, 4318, endpoints, pace, MISTAKES[service])


def route(front: Proxy) -> dict[str, object]:
    listener = front.bootstrap()["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]


def test_the_start_holds_the_mistakes() -> None:
    assert route(proxy()) == {"cluster": "generator", "timeout": "3s", "retry_policy": {"retry_on": BLANKET, "num_retries": 2}}
    layers = [service for service, policy in MISTAKES.items() if policy.retry_on == BLANKET]
    assert {"gateway", "generator"} <= set(layers)


def test_the_pace_stretches_timers() -> None:
    assert route(proxy(pace=0.3))["timeout"] == "0.9s"


def test_no_timer_is_written_as_none_rather_than_left_to_envoys_15_s() -> None:
    front = Proxy("gateway", 8001, 8002, 4318, (Endpoint(9001),), policy=Policy())
    assert route(front) == {"cluster": "gateway", "timeout": "0s"}


def test_bad_windows_recur() -> None:
    windows = Windows(first_s=2.0, every_s=10.0, lasts_s=3.0)
    assert [at_s for at_s in range(25) if windows.holds(at_s)] == [2, 3, 4, 12, 13, 14, 22, 23, 24]


@pytest.mark.system
@pytest.mark.parametrize("service", ROUTES)
def test_envoy_accepts_the_bootstrap(service: str, tmp_path: Path) -> None:
    validate_bootstrap(proxy(service).write(tmp_path))


@pytest.mark.system
def test_a_bootstrap_that_envoy_rejects_is_told_in_its_words(tmp_path: Path) -> None:
    bootstrap = proxy().bootstrap()
    bootstrap["static_resources"]["clusters"][0]["connect_timeout"] = "soon"
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(bootstrap))
    with pytest.raises(DemoError, match=r"Envoy rejects .*bad\.yaml"):
        validate_bootstrap(path)
