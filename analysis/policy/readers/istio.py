"""Reads Istio's VirtualServices, DestinationRules and the idle timeouts that EnvoyFilters add to their routes.

Source: istio/api networking/v1; pilot/pkg/networking/core/route/retry/retry.go for what holds where a field is absent.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from meshslo.analysis.policy.deployed import Deployed, PathKind, Placed, RouteRule, defaults_of
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries, first_label, scalars

from .istio_destination import read_destination

GROUP: Final = "networking.istio.io"
DEFAULT_ATTEMPTS: Final = 2
DEFAULT_CONDITIONS: Final = "connect-failure,refused-stream,unavailable,cancelled"


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
            tuple(read_destination(manifest) for manifest in manifests if manifest.kind == "DestinationRule"),
        )


def _rules(manifest: Manifest, model_header: str) -> Iterator[RouteRule]:
    if manifest.kind != "VirtualService":
        return
    hosts = frozenset(map(first_label, scalars(manifest.spec, "hosts"))) - {"*"}
    for http in entries(manifest.spec, "http"):
        # A list of matches is a choice: each is a rule of its own with the same settings.
        for match in entries(http, "match") or [{}]:
            yield read_route(manifest, http, match, model_header, hosts)


def read_route(manifest: Manifest, http: Any, match: Any, model_header: str, hosts: frozenset[str] = frozenset()) -> RouteRule:
    """What one match of a route entry covers, and the settings of the entry."""
    destinations = [child(route, "destination") for route in entries(http, "route")]
    headers = child(match, "headers")
    model = child(headers, model_header).get("exact")
    kind, path = _path(child(match, "uri"))
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
    total = manifest.seconds(http, "timeout")
    return {} if total is None else {"total_timeout": total}


def _retries(manifest: Manifest, http: Any) -> dict[str, Placed]:
    if http.get("retries") is None:
        place = defaults_of("Istio", manifest.place(http, "retries"))
        return {
            "retry_attempts": Placed(DEFAULT_ATTEMPTS, "1", place),
            "retry_on": Placed(DEFAULT_CONDITIONS, "conditions", place),
        }
    retries = child(http, "retries")
    attempts = manifest.amount(retries, "attempts")
    if attempts is None:
        attempts = Placed(DEFAULT_ATTEMPTS, "1", manifest.place(retries, "attempts"))
    settings = {"retry_attempts": attempts}
    if attempts.value:
        conditions = str(retries.get("retryOn") or DEFAULT_CONDITIONS)
        settings["retry_on"] = Placed(conditions, "conditions", manifest.place(retries, "retryOn"))
    per_try = manifest.seconds(retries, "perTryTimeout")
    return settings if per_try is None else settings | {"per_try_timeout": per_try}


def _filtered(manifest: Manifest) -> Iterator[tuple[str, Placed]]:
    """Route name and idle timeout of each patch that sets one."""
    if manifest.kind != "EnvoyFilter":
        return
    for patch in entries(manifest.spec, "configPatches"):
        name = child(patch, "match", "routeConfiguration", "vhost", "route").get("name")
        action = child(patch, "patch", "value", "route")
        idle = manifest.seconds(action, "idle_timeout")
        if name and idle is not None:
            yield str(name), idle


READER = IstioReader()
