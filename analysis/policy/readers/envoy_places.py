"""Where the groups of an Envoy cluster's endpoints are, and which come first: the way back from what `emit` writes there.

Source: envoy.config.endpoint.v3 LocalityLbEndpoints and ClusterLoadAssignment.Policy.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries
from meshslo.analysis.policy.values import Placed
from meshslo.analysis.policy.zones import LEVELS, write_weights


def read_places(manifest: Manifest, cluster: Any) -> Iterator[tuple[str, Placed]]:
    """Priorities of zones or places, weights of the proxy's own zone, and the overprovisioning factor."""
    groups = entries(cluster, "load_assignment", "endpoints")
    own = child(manifest.body, "node", "locality")
    source = manifest.place(child(cluster, "load_assignment"), "endpoints")
    for name, value in _priorities(sorted(_Group.of(manifest, each) for each in groups), own):
        yield name, Placed(value, "names", source)
    if child(cluster, "common_lb_config").get("locality_weighted_lb_config") is not None and own.get("zone"):
        found = {str(child(g, "locality").get("zone")): manifest.amount(g, "load_balancing_weight") for g in groups}
        weights = {zone: int(weight.value) for zone, weight in found.items() if weight is not None}
        yield "locality_distribute", Placed(write_weights({str(own.get("zone")): weights}), "names", source)
    factor = manifest.amount(child(cluster, "load_assignment", "policy"), "overprovisioning_factor", "percent")
    if factor is not None:
        yield "overprovisioning", factor


def priority_of(manifest: Manifest, node: Any) -> int:
    """The priority of a group of endpoints, or of a backend; 0 comes first."""
    given = manifest.amount(node, "priority")
    return int(given.value) if given else 0


def has_priorities(manifest: Manifest, nodes: Sequence[Any]) -> bool:
    """Whether some of these come before others."""
    return len({priority_of(manifest, node) for node in nodes}) > 1


class _Group(NamedTuple):
    """A group of endpoints: its priority, and its locality's parts from the widest on."""

    priority: int
    parts: tuple[str, ...]

    @classmethod
    def of(cls, manifest: Manifest, group: Any) -> Self:
        locality = child(group, "locality")
        return cls(priority_of(manifest, group), tuple(str(locality.get(part) or "") for part in LEVELS.values()))


def _priorities(order: Sequence[_Group], own: Any) -> Iterator[tuple[str, str]]:
    """The setting that priorities stand for, by the widest part of localities in which the first differs from all others.

    Where the first is the proxy's own, calls stay at home; else places are in order, be they clusters or providers.
    """
    labels = list(LEVELS)
    for number, part in enumerate(LEVELS.values()):
        names = [group.parts[number] for group in order]
        first = {name for name, group in zip(names, order, strict=True) if group.priority == order[0].priority}
        others = set(names[sum(group.priority == order[0].priority for group in order) :])
        if not others or "" in first | others or len(first) > 1 or first & others:
            continue
        if first == {own.get(part)}:
            yield "locality_failover_priority", ",".join(labels[: number + 1])
        else:
            yield "failover_cluster", ",".join(dict.fromkeys(names))
            yield "failover_provider", ",".join(dict.fromkeys(names))
        return
