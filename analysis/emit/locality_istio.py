"""Istio's localityLbSetting of a callee: priorities of clusters and zones, or weights between zones.

Source: istio/api destination_rule.proto: of `distribute` and `failoverPriority` only one may stand, the weights of each `from`
add up to 100, a locality is REGION/ZONE/SUBZONE, and an endpoint's priority is how many labels in a row it shares with the
proxy, or with the value that a label is given.
"""

from typing import Any, Final

from meshslo.analysis.config import Emit
from meshslo.analysis.policy.node import child, scalars
from meshslo.analysis.policy.readers.istio_destination import CLUSTER
from meshslo.analysis.policy.zones import parse_weights
from meshslo.analysis.recommend.recommendation import Recommendation

from .plan import CalleePolicy, not_expressible

NO_REGION: Final = (
    "Istio names a zone as REGION/ZONE, and the region is not said: region under [emit] in the config. The closest without it "
    "is failoverPriority, which overloads a zone that does not bear its own calls"
)
EXCLUDED: Final = (
    "of `distribute`, `failover` and `failoverPriority` Istio takes one, and another one is there. The closest is priorities "
    "alone: a zone that does not bear its own calls is overloaded then"
)


def set_locality(holder: Any, policy: CalleePolicy, settings: Emit) -> tuple[bool, list[Recommendation]]:
    """Set the locality below a `trafficPolicy`; whether there was any, and what Istio cannot hold of it."""
    names = ("locality_distribute", "locality_failover_priority", "failover_cluster")
    weights, own, clusters = (policy.others.get(name) for name in names)
    there = child(holder, "loadBalancer", "localityLbSetting")
    lacking = [] if weights is None or settings.region else [not_expressible(item, NO_REGION) for item in weights.items]
    if weights is not None and settings.region is not None:
        chosen: dict[str, Any] = {"distribute": _distribute(str(weights.value), settings.region)}
    elif own is None and (there.get("distribute") or there.get("failover")):
        chosen = {}
    else:
        preferred = [] if clusters is None else [CLUSTER + str(clusters.value).split(",")[0]]
        zones = scalars(there, "failoverPriority") if own is None else str(own.value).split(",")
        chosen = {"failoverPriority": [*preferred, *(label for label in zones if not label.startswith(CLUSTER))]}
    if clusters is not None and "failoverPriority" not in chosen:
        lacking += [not_expressible(item, EXCLUDED) for item in clusters.items]
    if not any(chosen.values()):
        return False, lacking
    holder.setdefault("loadBalancer", {})["localityLbSetting"] = {"enabled": True, **chosen}
    return True, lacking


def _distribute(text: str, region: str) -> list[Any]:
    return [
        {"from": f"{region}/{zone}/*", "to": {f"{region}/{other}/*": part for other, part in parts.items()}}
        for zone, parts in parse_weights(text).items()
    ]
