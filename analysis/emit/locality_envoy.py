"""Zones and places of an Envoy cluster: priorities of its groups of endpoints, or weights between them.

Groups say where they are by `locality`, the proxy by `node.locality`; what a control plane hands out later is not seen here.
Source: envoy.config.endpoint.v3 LocalityLbEndpoints (priorities from 0 on without a gap) and ClusterLoadAssignment.Policy,
envoy.config.cluster.v3 CommonLbConfig.LocalityWeightedLbConfig (a group without a weight gets nothing).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from meshslo.analysis.policy.node import child, entries, first_label
from meshslo.analysis.policy.readers.envoy_cluster import find_clusters
from meshslo.analysis.policy.zones import LEVELS, parse_weights

from .fields import ENVOY_PLACES
from .plan import CalleePolicy, Wanted

PLACES: Final = ("failover_cluster", "failover_provider")
OWN_FIRST: Final = "locality_failover_priority"
WEIGHTS: Final = "locality_distribute"


def set_localities(body: Any, cluster: Any, wanted: Mapping[str, Wanted]) -> None:
    """Set what of the settings the groups of a cluster can hold, in a bootstrap `body`; what else they have stays."""
    values = dict(_holdable(body, cluster, wanted))
    groups, own = _groups(cluster), child(body, "node", "locality")
    if OWN_FIRST in values or any(name in values for name in PLACES):
        ranks = [tuple(_ranks(group, own, values)) for group in groups]
        order = sorted(set(ranks))
        for group, rank in zip(groups, ranks, strict=True):
            group["priority"] = order.index(rank)
    if WEIGHTS in values:
        parts = parse_weights(values[WEIGHTS])[str(own.get("zone"))]
        for group in groups:
            group.pop("load_balancing_weight", None)
            if zone := parts.get(str(child(group, "locality").get("zone"))):
                group["load_balancing_weight"] = zone
        cluster.setdefault("common_lb_config", {})["locality_weighted_lb_config"] = {}


def lacking(policy: CalleePolicy, bodies: Sequence[Any]) -> dict[str, str]:
    """Settings of zones and places that no bootstrap can hold, each with what stands against it."""
    pairs = [(body, cluster) for body in bodies for cluster in find_clusters(body)]
    mine = [(body, each) for body, each in pairs if first_label(str(each.get("name", ""))) == policy.callee]
    held = {name for body, cluster in mine for name, _ in _holdable(body, cluster, policy.others)}
    return {name: why for name, why in ENVOY_PLACES.items() if name not in held}


def _groups(cluster: Any) -> list[Any]:
    return entries(cluster, "load_assignment", "endpoints")


def _holdable(body: Any, cluster: Any, wanted: Mapping[str, Wanted]) -> Iterator[tuple[str, str]]:
    """The settings that this cluster's groups can hold, with their values."""
    groups, own = [child(group, "locality") for group in _groups(cluster)], child(body, "node", "locality")
    values = {name: str(wanted[name].value) for name in (*PLACES, OWN_FIRST, WEIGHTS) if name in wanted}
    for name, value in values.items():
        if name in PLACES:
            held = len({place for place in value.split(",") if any(place in group.values() for group in groups)}) > 1
        elif name == OWN_FIRST:
            held = bool(own.get("zone")) and bool(groups) and all(groups)
        else:
            parts = parse_weights(value).get(str(own.get("zone")))
            held = parts is not None and set(parts) <= {str(group.get("zone")) for group in groups}
        if held:
            yield name, value


def _ranks(group: Any, own: Any, values: Mapping[str, str]) -> Iterator[int]:
    """How far a group stands behind: by place first, then by the labels that it does not share with the proxy."""
    locality = child(group, "locality")
    for name in PLACES:
        if name in values:
            places = values[name].split(",")
            yield next((rank for rank, place in enumerate(places) if place in locality.values()), len(places))
    if OWN_FIRST in values:
        parts = [LEVELS[label] for label in values[OWN_FIRST].split(",") if label in LEVELS]
        yield next((len(parts) - n for n, part in enumerate(parts) if locality.get(part) != own.get(part)), 0)
