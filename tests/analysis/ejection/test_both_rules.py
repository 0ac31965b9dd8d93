"""What the real Envoy makes of both rules on shares at once, for which reason one of them at most is ever proposed."""

from pathlib import Path

import httpx
import pytest
import yaml

from tests.support.envoy import Envoy, bootstrap, running
from tests.support.net import free_port, wait_for
from tests.support.pods import Answer, Pod, ask_at, serving

SHARES = {
    "success_rate_minimum_hosts": 5,
    "success_rate_request_volume": 3,
    "failure_percentage_minimum_hosts": 5,
    "failure_percentage_request_volume": 3,
    "failure_percentage_threshold": 40,
}
"""Of five pods the one that fails half of its calls lies two deviations below the mean, and beyond the threshold."""


@pytest.mark.system
@pytest.mark.parametrize(("enforced", "counted"), [(("success_rate", "failure_percentage"), 2), (("failure_percentage",), 1)])
def test_a_pod_that_both_rules_catch_counts_as_two_that_are_out(
    tmp_path: Path, enforced: tuple[str, ...], counted: int
) -> None:
    pods = [Pod(f"p{n}", lambda asked, n=n: Answer(status=500 if n == 0 and asked % 2 else 200)) for n in range(5)]  # type: ignore[misc]
    envoy = Envoy(free_port(), free_port())
    with serving(pods):
        body = bootstrap(envoy, [pod.port for pod in pods])
        rules = {f"enforcing_{name}": 100 * (name in enforced) for name in ("success_rate", "failure_percentage")}
        body["static_resources"]["clusters"][0]["outlier_detection"] = {
            "interval": "1s",
            "base_ejection_time": "60s",
            "max_ejection_percent": 60,
            "enforcing_consecutive_5xx": 0,
            **SHARES,
            **rules,
        }
        with running(tmp_path, envoy, yaml.safe_dump(body)):
            wait_for(lambda: bool(ask_at(envoy.url, [0.0] * 50)) and out(envoy) > 0, what="ejection", timeout_s=60)
            health = httpx.get(f"http://127.0.0.1:{envoy.admin_port}/clusters", trust_env=False).text
            assert out(envoy) == counted
    assert [line for line in health.splitlines() if "failed_outlier_check" in line] == [
        f"generator::127.0.0.1:{pods[0].port}::health_flags::/failed_outlier_check"
    ]


def out(envoy: Envoy) -> int:
    return sum(envoy.stats("outlier_detection.ejections_active").values())
