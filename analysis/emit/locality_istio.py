"""Istio's localityLbSetting of a callee: priorities, or weights between zones.

Source: istio/api destination_rule.proto: of `distribute` and `failoverPriority` only one may stand, the weights of each `from`
add up to 100, and a locality is REGION/ZONE/SUBZONE.
"""

from typing import Any, Final

from meshslo.analysis.config import Emit
from meshslo.analysis.policy.zones import parse_weights
from meshslo.analysis.recommend.recommendation import Recommendation

from .plan import CalleePolicy, not_expressible

NO_REGION: Final = (
    "Istio names a zone as REGION/ZONE, and the region is not said: region under [emit] in the config. The closest without it "
    "is failoverPriority, which overloads a zone that does not bear its own calls"
)


def set_locality(holder: Any, policy: CalleePolicy, settings: Emit) -> tuple[bool, list[Recommendation]]:
    """Set the locality below a `trafficPolicy`; whether there was any, and what Istio cannot hold of it."""
    weights, priority = (policy.others.get(name) for name in ("locality_distribute", "locality_failover_priority"))
    if weights is not None:
        if settings.region is None:
            return False, [not_expressible(item, NO_REGION) for item in weights.items]
        chosen = {"distribute": _distribute(str(weights.value), settings.region)}
    elif priority is not None:
        chosen = {"failoverPriority": str(priority.value).split(",")}
    else:
        return False, []
    holder.setdefault("loadBalancer", {})["localityLbSetting"] = {"enabled": True, **chosen}
    return True, []


def _distribute(text: str, region: str) -> list[Any]:
    return [
        {"from": f"{region}/{zone}/*", "to": {f"{region}/{other}/*": part for other, part in parts.items()}}
        for zone, parts in parse_weights(text).items()
    ]
