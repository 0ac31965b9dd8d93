"""Where each mesh keeps the settings of a callee beside its retry budget: breakers and ejection. One table a mesh.

Sources: envoy.config.cluster.v3 CircuitBreakers and OutlierDetection; istio/api destination_rule.proto; linkerd.io
reference/circuit-breaking; gateway-api v1.6. The readers' tables say the same the other way round, and are used here.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from meshslo.analysis.policy.durations import decimal_duration
from meshslo.analysis.policy.readers import envoy_cluster, istio_destination
from meshslo.analysis.policy.settings import SETTINGS
from meshslo.analysis.recommend.recommendation import Recommendation, Value

from .plan import CalleePolicy, Wanted, not_expressible

Path = tuple[str, ...]

ISTIO: Final[dict[str, Path]] = {
    **{setting: ("connectionPool", *path) for path, setting in istio_destination.POOL.items()},
    **{setting: ("outlierDetection", key) for key, (setting, *_) in istio_destination.OUTLIERS.items()},
    **{setting: ("outlierDetection", key) for key, (setting, _) in istio_destination.OUTLIER_TIMES.items()},
    "connect_timeout": ("connectionPool", "tcp", "connectTimeout"),
}
"""Setting -> field below a DestinationRule's `trafficPolicy`."""

ENVOY_BREAKERS: Final[dict[str, Path]] = {setting: (key,) for key, (setting, _) in envoy_cluster.BREAKERS.items()}
"""Setting -> field of a cluster's threshold."""

ENVOY_OUTLIERS: Final[dict[str, Path]] = {
    **{setting: ("outlier_detection", key) for key, (setting, *_) in envoy_cluster.OUTLIERS.items()},
    **{key: ("outlier_detection", key) for key in envoy_cluster.OUTLIER_TIMES},
}
"""Setting -> field of a cluster."""

ENVOY_CONNECT: Final[dict[str, Path]] = {"connect_timeout": ("connect_timeout",)}
"""The same; it is part of no block."""

ENVOY_UNASKED: Final = {"enforcing_success_rate": 0}
"""What Envoy does unasked where ejection is on at all: it ejects by success rate too; off where nothing has judged that."""

ENVOY_UNENFORCED: Final = {setting: {field: 100} for setting, field in envoy_cluster.UNENFORCED.items()}
"""What Envoy counts and does not act on unless told."""

_SHARES: Final = (
    "failure_percentage_threshold",
    "failure_percentage_minimum_hosts",
    "failure_percentage_request_volume",
    "enforcing_success_rate",
    "success_rate_stdev_factor",
    "success_rate_minimum_hosts",
    "success_rate_request_volume",
)
_BY_SHARE: Final = (
    "Istio ejects by failures in a row alone and switches success rate off. The closest is a lower consecutive5xxErrors, which "
    "also ejects healthy pods with a bad minute; an EnvoyFilter on the cluster could set Envoy's own fields"
)

ISTIO_LACKS: Final = {
    "hedge": (
        "Istio cannot send a second call beside the first; Envoy's hedge_policy would need an EnvoyFilter on the route. The "
        "closest is the caller's own code"
    ),
    **dict.fromkeys(_SHARES, _BY_SHARE),
    "failover_provider": (
        "Istio's priorities are among the endpoints of one host; another provider has a host, a key and model names of its "
        "own. The closest is AIGatewayRoute's backendRefs[].priority; in one ServiceEntry with both, each would get the "
        "other's key"
    ),
    "overprovisioning": (
        "Istio has no field for it, and Envoy's own 140 holds: a place that bears less is overloaded before calls leave it. "
        "The closest is a limit of the calls at a time (recommend breakers)"
    ),
}
"""Why Istio's policies do not hold a setting, or a kind of setting, the closest there is, and its danger."""

_ZONES: Final = (
    "zones and weights stand with the endpoints, which a control plane hands to Envoy (EDS), or in a bootstrap that names the "
    "proxy's zone (node.locality) and that of each group of endpoints. The closest is that control plane's own policy (Istio: "
    "DestinationRule localityLbSetting)"
)
_PLACES: Final = (
    "priorities stand with the endpoints, which a control plane hands to Envoy (EDS), or in a bootstrap whose groups of "
    "endpoints name the place as region, zone or sub_zone. The closest is an aggregate cluster of one cluster for each place, "
    "whose ejections are counted apart: either place can be out as a whole"
)
ENVOY_PLACES: Final = {
    "locality_failover_priority": _ZONES,
    "locality_distribute": _ZONES,
    "failover_cluster": _PLACES,
    "failover_provider": _PLACES,
}
"""The same of Envoy where a bootstrap does not say where its endpoints are."""

ENVOY_ASSIGNMENT: Final[dict[str, Path]] = {"overprovisioning": ("load_assignment", "policy", "overprovisioning_factor")}
"""Setting -> field of a cluster, beside its endpoints."""

LINKERD: Final = {
    "connect": "Linkerd's connect timeout is the proxy's (1 s unless its environment says otherwise), for all services alike",
    "breaker": (
        "Linkerd has no limit of calls at a time. The closest is a HTTPLocalRateLimitPolicy at the server, which limits calls "
        "a second: what is in progress then drifts with the length of answers"
    ),
    "outlier": (
        "Linkerd ejects by failures in a row alone, in annotations of the Service, and lets one call in as a probe after the "
        "penalty. The closest are consecutive_5xx and base_ejection_time there; without a max_ejection_percent all pods can be "
        "out at once, and calls are answered 503 then"
    ),
    "locality": "Linkerd has no weights between zones. The closest is the Service's spec.trafficDistribution, all or nothing",
    "failover": (
        "Linkerd has no priorities. The closest is a second backendRef of an HTTPRoute, or a federated Service: both get their "
        "share of the calls all the time, and one is left out where it has no endpoint that is ready, not where it answers 503"
    ),
    "hedge": "Linkerd cannot send a second call beside the first. The closest is the caller's own code",
}
"""The same of Linkerd."""

GATEWAY_API: Final = {
    "connect": (
        "the Gateway API has no connect timeout. The closest is the implementation's own policy (Envoy Gateway: "
        "BackendTrafficPolicy timeout.tcp.connectTimeout; Istio: DestinationRule connectionPool.tcp.connectTimeout)"
    ),
    "breaker": (
        "the Gateway API has no circuit breaker. The closest is the implementation's own policy (Envoy Gateway: "
        "BackendTrafficPolicy circuitBreaker.maxParallelRequests; Istio: DestinationRule connectionPool)"
    ),
    "outlier": (
        "the Gateway API has no ejection. The closest is the implementation's own policy (Envoy Gateway: BackendTrafficPolicy "
        "healthCheck.passive; Istio: DestinationRule outlierDetection)"
    ),
    "locality": (
        "the Gateway API knows no zones. The closest is the Service's spec.trafficDistribution, all or nothing, or the "
        "implementation's own policy (Istio: DestinationRule localityLbSetting)"
    ),
    "failover": (
        "the Gateway API has weights and no priorities. The closest is AIGatewayRoute's backendRefs[].priority, or a second "
        "backendRef with a weight: it gets that share all the time, and no more of it while the first one fails"
    ),
    "hedge": "the Gateway API cannot send a second call beside the first. The closest is the caller's own code",
}
"""The same of the Gateway API."""


def put(
    holder: Any,
    wanted: Mapping[str, Wanted],
    places: Mapping[str, Path],
    duration: Callable[[float], str] = decimal_duration,
) -> bool:
    """Set every wanted setting that has a place below `holder`; whether there was any. What else stands there stays."""
    here = [name for name in wanted if name in places]
    for name in here:
        *path, key = places[name]
        node = holder
        for step in path:
            node = node.setdefault(step, {})
        node[key] = _written(name, wanted[name].value, duration)
    return bool(here)


def _written(name: str, value: Value, duration: Callable[[float], str]) -> Any:
    unit = SETTINGS[name].unit
    if unit == "s":
        return duration(float(value))
    return str(value) if unit == "names" else round(float(value))


def lacking(setting: str, why: Mapping[str, str]) -> str | None:
    """Why a mesh has no place for a setting, by its name or its kind; None where it may have one."""
    return why.get(setting, why.get(SETTINGS[setting].kind))


def unexpressed(policy: CalleePolicy, why: Mapping[str, str]) -> Iterable[Recommendation]:
    """The callee's settings, and its routes', that a mesh has no place for, each with the reason for it or its kind."""
    for wanted in (policy.others, *(route.wanted for route in policy.routes)):
        for item in (item for each in wanted.values() for item in each.items):
            reason = lacking(item.setting, why)
            if reason is not None and not _is_off(item):
                yield not_expressible(item, reason)


def _is_off(item: Recommendation) -> bool:
    """Whether all that is wanted is that nothing happens, which a mesh without it fulfils."""
    return item.setting == "enforcing_success_rate" and item.wanted == 0
