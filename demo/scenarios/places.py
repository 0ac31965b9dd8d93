"""Where endpoints are: groups of them by zone or provider in a bootstrap, and the proxy of callers that are in a zone."""

from collections.abc import Sequence
from typing import Any, Final

from meshslo.demo.mesh import tracing

REGION: Final = "demo"
CALLER: Final = "gateway"
"""Who calls where the callers' own proxies are run."""


def place(body: dict[str, Any], places: Sequence[tuple[str, str]]) -> None:
    """Group the endpoints of the first cluster, which are in these zones and of these providers ("" where nobody says)."""
    cluster = body["static_resources"]["clusters"][0]
    (whole,) = cluster["load_assignment"]["endpoints"]
    groups: dict[tuple[str, str], list[Any]] = {}
    for where, endpoint in zip(places, whole["lb_endpoints"], strict=True):
        groups.setdefault(where, []).append(endpoint)
    cluster["load_assignment"]["endpoints"] = [
        {"locality": _locality(*where), "lb_endpoints": endpoints} for where, endpoints in sorted(groups.items())
    ]


def _locality(zone: str, provider: str) -> dict[str, str]:
    parts = {"region": REGION, "zone": zone, "sub_zone": provider}
    return {name: part for name, part in parts.items() if part}


def move_to_callers(body: dict[str, Any], zone: str, collector_port: int) -> None:
    """Make the proxy of the service that of its callers in a zone, who name the service as Istio does."""
    cluster = body["static_resources"]["clusters"][0]
    name = f"outbound|80||{cluster['name']}.{REGION}.svc.cluster.local"
    cluster["name"] = cluster["load_assignment"]["cluster_name"] = name
    body["node"] = {"id": f"{CALLER}-{zone}", "cluster": CALLER, "locality": _locality(zone, "")}
    manager = body["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["cluster"] = name
    manager["tracing"] = tracing(CALLER, collector_port, [{"tag": "cloud.availability_zone", "literal": {"value": zone}}])
