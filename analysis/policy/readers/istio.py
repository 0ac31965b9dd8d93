"""Reads Istio's VirtualServices, DestinationRules and the idle timeouts that EnvoyFilters add to their routes.

Source: istio/api networking/v1; pilot/pkg/networking/core/route/retry/retry.go for what holds where a field is absent.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from meshslo.analysis.policy.deployed import ClusterRule, Deployed, PathKind, Placed, RouteRule, defaults_of
from meshslo.analysis.policy.durations import parse_duration_s
from meshslo.analysis.policy.manifest import Manifest, first_label, items

GROUP: Final = "networking.istio.io"
DEFAULT_ATTEMPTS: Final = 2
DEFAULT_CONDITIONS: Final = "connect-failure,refused-stream,unavailable,cancelled"
DEFAULT_PERCENT: Final = 20.0
DEFAULT_CONCURRENCY: Final = 3


class IstioReader:
    """VirtualService, DestinationRule, EnvoyFilter."""

    def reads(self, manifest: Manifest) -> bool:
        """Whether it is one of Istio's traffic resources that can hold a setting."""
        return manifest.group == GROUP and manifest.kind in ("VirtualService", "DestinationRule", "EnvoyFilter")

    def read(self, manifests: list[Manifest], model_header: str) -> Deployed:
        """Routes with timeouts and retries, callees with retry budgets; what an EnvoyFilter merges into a named route."""
        idle = {name: placed for manifest in manifests for name, placed in _filtered(manifest)}
        rules = [rule for manifest in manifests for rule in _rules(manifest, model_header)]
        return Deployed(
            tuple(
                replace(rule, settings={**rule.settings, "idle_gap_timeout": idle[rule.name]}) if rule.name in idle else rule
                for rule in rules
            ),
            tuple(cluster for manifest in manifests for cluster in _budgets(manifest)),
        )


def _rules(manifest: Manifest, model_header: str) -> Iterator[RouteRule]:
    if manifest.kind != "VirtualService":
        return
    spec = manifest.body.get("spec") or {}
    hosts = frozenset(first_label(str(host)) for host in items(spec.get("hosts"))) - {"*"}
    for http in items(spec.get("http")):
        # A list of matches is a choice: each is a rule of its own with the same settings.
        for match in http.get("match") or [{}]:
            yield read_route(manifest, http, match, model_header, hosts)


def read_route(manifest: Manifest, http: Any, match: Any, model_header: str, hosts: frozenset[str] = frozenset()) -> RouteRule:
    """What one match of a route entry covers, and the settings of the entry."""
    destinations = [route.get("destination") or {} for route in items(http.get("route"))]
    headers = match.get("headers") or {}
    model = (headers.get(model_header) or {}).get("exact")
    kind, path = _path(match.get("uri") or {})
    only = {"uri", "name", "headers", "gateways", "ignoreUriCase", "statPrefix"}
    return RouteRule(
        callee=first_label(str(destinations[0].get("host", ""))) if destinations else "",
        hosts=hosts,
        path_kind=kind,
        path=path,
        model=None if model is None else str(model),
        partial=bool(set(match) - only or set(headers) - {model_header} or (headers and model is None)),
        name=str(http.get("name", "")),
        settings=_timeouts(manifest, http) | _retries(manifest, http),
    )


def _path(uri: Any) -> tuple[PathKind, str]:
    for kind in ("exact", "prefix", "regex"):
        if kind in uri:
            return kind, str(uri[kind])
    return "any", ""


def _timeouts(manifest: Manifest, http: Any) -> dict[str, Placed]:
    if http.get("timeout") is None:
        return {}
    return {"total_timeout": Placed(parse_duration_s(str(http["timeout"])), "s", manifest.place(http, "timeout"))}


def _retries(manifest: Manifest, http: Any) -> dict[str, Placed]:
    retries = http.get("retries")
    if retries is None:
        place = defaults_of("Istio", manifest.place(http, "retries"))
        return {
            "retry_attempts": Placed(DEFAULT_ATTEMPTS, "1", place),
            "retry_on": Placed(DEFAULT_CONDITIONS, "conditions", place),
        }
    attempts = int(retries.get("attempts", DEFAULT_ATTEMPTS))
    settings = {"retry_attempts": Placed(attempts, "1", manifest.place(retries, "attempts"))}
    if attempts:
        conditions = str(retries.get("retryOn") or DEFAULT_CONDITIONS)
        settings["retry_on"] = Placed(conditions, "conditions", manifest.place(retries, "retryOn"))
    if retries.get("perTryTimeout"):
        value_s = parse_duration_s(str(retries["perTryTimeout"]))
        settings["per_try_timeout"] = Placed(value_s, "s", manifest.place(retries, "perTryTimeout"))
    return settings


def _budgets(manifest: Manifest) -> Iterator[ClusterRule]:
    if manifest.kind != "DestinationRule":
        return
    spec = manifest.body.get("spec") or {}
    budget = (spec.get("trafficPolicy") or {}).get("retryBudget")
    if budget is not None:
        yield ClusterRule(first_label(str(spec.get("host", ""))), _budget(manifest, budget))


def _budget(manifest: Manifest, budget: Any) -> dict[str, Placed]:
    """Ratio and floor. A floor is a rate only over an interval; without one it bounds retries at a time, which is no rate."""
    ratio = float(budget.get("percent", DEFAULT_PERCENT)) / 100
    settings = {"retry_budget_ratio": Placed(ratio, "ratio", manifest.place(budget, "percent"))}
    if budget.get("budgetInterval"):
        rate = float(budget.get("minRetryConcurrency") or DEFAULT_CONCURRENCY) / parse_duration_s(str(budget["budgetInterval"]))
        settings["retry_budget_min_per_s"] = Placed(rate, "per_s", manifest.place(budget, "minRetryConcurrency"))
    return settings


def _filtered(manifest: Manifest) -> Iterator[tuple[str, Placed]]:
    """Route name and idle timeout of each patch that sets one."""
    if manifest.kind != "EnvoyFilter":
        return
    for patch in items((manifest.body.get("spec") or {}).get("configPatches")):
        match = ((patch.get("match") or {}).get("routeConfiguration") or {}).get("vhost") or {}
        name = (match.get("route") or {}).get("name")
        action = ((patch.get("patch") or {}).get("value") or {}).get("route") or {}
        if name and action.get("idle_timeout"):
            value_s = parse_duration_s(str(action["idle_timeout"]))
            yield str(name), Placed(value_s, "s", manifest.place(action, "idle_timeout"))


READER = IstioReader()
