"""Policies of gateway>generator and its neighbours, as Envoy's configuration says them."""

from typing import Any

import yaml

from meshslo.analysis.simulate import Mesh, read_mesh


def envoy_text(*callees: str, cluster: dict[str, Any] | None = None, **action: Any) -> str:
    """Bootstrap whose routes to `callees` have this route action (`timeout` off unless given) and cluster settings."""
    hosts = [
        {
            "name": callee,
            "domains": ["*"],
            "routes": [
                {"match": {"prefix": "/"}, "route": {"cluster": callee, "timeout": "0s", "idle_timeout": "0s"} | action}
            ],
        }
        for callee in callees
    ]
    clusters = [{"name": callee} | (cluster or {}) for callee in callees]
    return yaml.safe_dump(
        {"static_resources": {"listeners": [{"route_config": {"virtual_hosts": hosts}}], "clusters": clusters}}
    )


def mesh_of(*callees: str, cluster: dict[str, Any] | None = None, **action: Any) -> Mesh:
    """`envoy_text` as simulations take it; of the generator where no callee is given."""
    return read_mesh({"envoy.yaml": envoy_text(*(callees or ("generator",)), cluster=cluster, **action)})


def retries(count: int, conditions: str = "5xx,reset", **policy: Any) -> dict[str, Any]:
    """A retry policy, to be given as `retry_policy`."""
    return {"retry_on": conditions, "num_retries": count, **policy}


def breaker(**threshold: Any) -> dict[str, Any]:
    """Cluster settings with one threshold."""
    return {"circuit_breakers": {"thresholds": [threshold]}}
