"""What control planes refuse although the CRD lets it in: their webhooks' and controllers' own rules.

Sources: istio/istio pkg/config/validation/{validation.go,agent/validation.go}; linkerd2 policy-controller admission.rs and
outbound index; envoyproxy/gateway internal/gatewayapi/backendtrafficpolicy.go and internal/xds/translator/route.go.
"""

import re
from collections.abc import Iterator
from typing import Any

RETRY_ON = re.compile(r"[a-z0-9-]+(,[a-z0-9-]+)*")
LINKERD_DURATION = re.compile(r"[0-9]+(ms|s|m|h|d)")


def refusals(document: dict[str, Any]) -> Iterator[str]:
    """What a document's control plane says against it."""
    checks = {
        "VirtualService": _virtual_service,
        "DestinationRule": _destination_rule,
        "HTTPRoute": _http_route,
        "BackendTrafficPolicy": _backend_traffic_policy,
    }
    check = checks.get(document.get("kind", ""))
    if check is not None:
        yield from check(document)


def _virtual_service(document: dict[str, Any]) -> Iterator[str]:
    http = document["spec"].get("http", [])
    for number, entry in enumerate(http):
        retries = entry.get("retries") or {}
        if not RETRY_ON.fullmatch(retries.get("retryOn", "5xx")):
            yield f"http[{number}].retries.retryOn: Istio splits at commas without trimming"
        others = {"perTryTimeout", "retryOn", "retryRemoteLocalities"} & set(retries)
        if retries.get("attempts") == 0 and others:
            yield f"http[{number}].retries: attempts 0 beside {', '.join(sorted(others))}"
        weights = [route.get("weight", 0) for route in entry.get("route", [])]
        if len(weights) > 1 and sum(weights) == 0:
            yield f"http[{number}].route: the weights are all 0"
    for number, entry in enumerate(http[:-1]):
        if not entry.get("match"):
            yield f"http[{number}]: it takes everything, and {len(http) - number - 1} follow"


def _destination_rule(document: dict[str, Any]) -> Iterator[str]:
    policy = document["spec"].get("trafficPolicy") or {}
    outliers = policy.get("outlierDetection") or {}
    if outliers.get("consecutiveLocalOriginFailures") and not outliers.get("splitExternalLocalOriginErrors"):
        yield "outlierDetection.consecutiveLocalOriginFailures needs splitExternalLocalOriginErrors"
    locality = (policy.get("loadBalancer") or {}).get("localityLbSetting") or {}
    if locality.get("distribute") and (locality.get("failover") or locality.get("failoverPriority")):
        yield "localityLbSetting: distribute beside failover"
    for share in locality.get("distribute", []):
        if sum(share.get("to", {}).values()) != 100 or min(share["to"].values()) < 1:
            yield f"localityLbSetting.distribute from {share.get('from')}: weights of 1 and more that make 100"
    for failover in locality.get("failover", []):
        names = {failover.get("from"), failover.get("to")}
        if len(names) < 2 or any("/" in str(name) or "*" in str(name) for name in names):
            yield "localityLbSetting.failover: two region names"


def _http_route(document: dict[str, Any]) -> Iterator[str]:
    marks = document.get("metadata", {}).get("annotations", {})
    for name, value in marks.items():
        is_duration = name.startswith("timeout.linkerd.io/") or name == "retry.linkerd.io/timeout"
        if is_duration and not LINKERD_DURATION.fullmatch(value):
            yield f"{name}: {value!r} is no whole number and unit"
        if name == "retry.linkerd.io/limit" and not (value.isdigit() and int(value) > 0):
            yield f"{name}: {value!r} counts as unset"
    if any(name.startswith(("timeout.linkerd.io/", "retry.linkerd.io/")) for name in marks):
        for rule in document["spec"].get("rules", []):
            if not LINKERD_DURATION.fullmatch((rule.get("timeouts") or {}).get("request", "1s")):
                yield "timeouts.request: Linkerd drops what is not one number and one unit"


def _backend_traffic_policy(document: dict[str, Any]) -> Iterator[str]:
    on = (document["spec"].get("retry") or {}).get("retryOn") or {}
    if on.get("httpStatusCodes") and "retriable-status-codes" not in on.get("triggers", []):
        yield "retry.retryOn.httpStatusCodes need the trigger retriable-status-codes"
