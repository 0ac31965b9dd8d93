"""Istio: VirtualService, DestinationRule, and an EnvoyFilter for the idle timeout that the former two cannot express.

Sources: istio/api networking/v1 (a duration is at least 1 ms, so "no timeout" is the absent field; `attempts: 0` allows no
other retry field), pilot/pkg/networking/core/route for what becomes of them in Envoy.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from meshslo.analysis.policy.budgets import BUDGET_INTERVAL_S, least_repetitions
from meshslo.analysis.policy.deployed import RouteRule
from meshslo.analysis.policy.durations import decimal_duration
from meshslo.analysis.policy.manifest import Manifest, first_label, load_editable
from meshslo.analysis.policy.node import child, entries
from meshslo.analysis.policy.readers.istio import GROUP, read_route
from meshslo.analysis.policy.versions import BUDGET_SUBSET, Version, has_field
from meshslo.analysis.recommend.recommendation import Recommendation

from . import Document, Emission
from .access_istio import access_documents
from .fields import ISTIO, ISTIO_LACKS, lacking, put, unexpressed
from .locality_istio import set_locality
from .plan import NAME_PREFIX, CalleePolicy, Plan, RoutePolicy, not_expressible, route_regex, strip_comments

BUDGET: Final = "trafficPolicy.retryBudget"
INTERVAL: Final = "trafficPolicy.retryBudget.budgetInterval"

PER_TRY: Final = (
    "Istio has perTryTimeout only inside `retries` with at least one attempt; arming it obliges to repeat a call that may have "
    "begun. The closest is the idle timer (idle_gap_timeout), which also runs before the headers"
)
IDLE: Final = (
    "VirtualService has no idle timeout; an EnvoyFilter sets it on the named route instead. It binds to Envoy's own fields, "
    "which Istio may change with any upgrade: check it after each"
)
NO_BUDGET: Final = (
    "Istio has retryBudget from 1.27 on; before, connectionPool.http.maxRetries bounds the number of retries at a time"
)
FIRST_TOKEN: Final = (
    "Istio has no timer for the first token, only perTryTimeout for the headers. The closest is the idle timer "
    "(idle_gap_timeout), which runs until the first byte too"
)
CONCURRENCY: Final = (
    "before Istio 1.31 the budget is a share of the requests active at that moment: with long streams it admits many more "
    "retries than the same share of calls"
)


@dataclass
class _Files:
    """Documents of one callee while they are built, and what could not be put into them."""

    policy: CalleePolicy
    plan: Plan
    home: Manifest | None
    """The callee's VirtualService in use: what is added stands beside it and names the callee as it does."""
    bodies: list[Any] = field(default_factory=list)
    filters: list[dict[str, Any]] = field(default_factory=list)
    unexpressed: list[Recommendation] = field(default_factory=list)


class IstioEmitter:
    """Writes one file a callee; where the manifests in use hold its VirtualService, that is changed in place."""

    name = "istio"

    def emit(self, plan: Plan) -> Emission:
        """VirtualService, DestinationRule and EnvoyFilter of each callee."""
        current = [
            m
            for name, text in sorted(plan.manifests.items())
            for m in load_editable(strip_comments(text), name)
            if m.group == GROUP
        ]
        built = [_callee(policy, plan, current) for policy in plan.callees]
        documents = tuple(
            Document.of(f"{files.policy.callee}.yaml", files.bodies, files.policy.comments(files.unexpressed))
            for files in built
            if files.bodies
        )
        return Emission((*documents, *access_documents(plan)), tuple(item for files in built for item in files.unexpressed))


def _callee(policy: CalleePolicy, plan: Plan, current: list[Manifest]) -> _Files:
    files = _Files(policy, plan, _find(current, "VirtualService", policy.callee))
    if any(lacking(name, ISTIO_LACKS) is None for route in policy.routes for name in route.wanted):
        files.bodies.append(_virtual_service(files, files.home))
    files.unexpressed += unexpressed(policy, ISTIO_LACKS)
    if policy.budget or policy.others:
        _add_destination_rule(files, _find(current, "DestinationRule", policy.callee))
    if files.filters:
        files.bodies.append(_envoy_filter(files))
    return files


def _find(current: list[Manifest], kind: str, callee: str) -> Manifest | None:
    """The resource of a kind that is in use for the callee."""
    for manifest in current:
        spec = manifest.body.get("spec") or {}
        hosts = spec.get("hosts") or [spec.get("host", "")]
        if manifest.kind == kind and any(first_label(str(host)) == callee for host in hosts):
            return manifest
    return None


# VirtualService


def _virtual_service(files: _Files, current: Manifest | None) -> Any:
    body = copy.deepcopy(current.body) if current else _new_virtual_service(files)
    manifest = Manifest(body, current.file if current else "")
    http = body["spec"].setdefault("http", [])
    for added in [entry for entry in http if str(entry.get("name", "")).startswith(NAME_PREFIX) and entry.get("match")]:
        http.remove(added)
    for wanted in files.policy.routes:
        entry = _entry_for(manifest, http, wanted, files)
        if entry is not None:
            _set_policy(entry, wanted, files)
    return body


def _new_virtual_service(files: _Files) -> dict[str, Any]:
    """One whose last route takes everything: without it, calls that no match covers would be answered 404."""
    host = files.plan.host(files.policy.callee)
    everything = {"name": f"{NAME_PREFIX}{files.policy.callee}", "route": [{"destination": {"host": host}}]}
    return _resource("VirtualService", "v1", files, {"hosts": [host], "http": [everything]})


def _resource(kind: str, api: str, files: _Files, spec: dict[str, Any], suffix: str = "") -> dict[str, Any]:
    metadata = {"name": f"{files.policy.callee}{suffix}", "namespace": _namespace(files)}
    return {"apiVersion": f"{GROUP}/{api}", "kind": kind, "metadata": metadata, "spec": spec}


def _namespace(files: _Files) -> str:
    own = files.home and child(files.home.body, "metadata").get("namespace")
    return str(own or files.plan.settings.namespace)


def _host(files: _Files) -> str:
    """The callee's host as its routes in use name it, else as the config does."""
    routes = [route for http in entries(files.home.spec, "http") for route in entries(http, "route")] if files.home else []
    hosts = [str(child(route, "destination").get("host", "")) for route in routes]
    return next((host for host in hosts if first_label(host) == files.policy.callee), files.plan.host(files.policy.callee))


def _entry_for(manifest: Manifest, http: Any, wanted: RoutePolicy, files: _Files) -> Any | None:
    """The route entry that is meant, or a narrower copy placed before the first that covers it."""
    header = files.plan.settings.model_header
    for at, entry in enumerate(http):
        matches = entry.get("match") or [{}]
        rules = [(match, read_route(manifest, entry, match, header)) for match in matches]
        covering = next(((match, rule) for match, rule in rules if rule.covers(wanted.route, wanted.model)), None)
        if covering is None:
            continue
        if len(rules) == 1 and _means(covering[1], wanted):
            return entry
        rest = copy.deepcopy(entry)
        rest.pop("name", None)
        narrower: dict[str, Any] = {"name": f"{NAME_PREFIX}{files.policy.callee}-{wanted.label}"} | dict(rest)
        narrower["match"] = [_match(copy.deepcopy(covering[0]), wanted, header)]
        http.insert(at, narrower)
        return narrower
    return None


def _means(rule: RouteRule, wanted: RoutePolicy) -> bool:
    """Whether an entry matches just what is wanted, so that it is changed and no narrower one is added."""
    if rule.model != wanted.model:
        return False
    if wanted.route is None or not wanted.route.startswith("/"):
        return rule.path_kind == "any" or (rule.path_kind == "prefix" and rule.path in ("/", ""))
    return rule.path in (wanted.route, route_regex(wanted.route))


def _match(match: Any, wanted: RoutePolicy, header: str) -> dict[str, Any]:
    """A match narrowed to the path and model; its other conditions stay."""
    narrowed: dict[str, Any] = {key: value for key, value in match.items() if key not in ("name", "uri")}
    uri = {} if wanted.route is None else _uri(wanted.route)
    if uri or "uri" in match:
        narrowed["uri"] = uri or match["uri"]
    if wanted.model is not None:
        narrowed["headers"] = dict(narrowed.get("headers") or {}) | {header: {"exact": wanted.model}}
    return narrowed


def _uri(route: str) -> dict[str, str]:
    if not route.startswith("/"):
        return {}
    return {"regex": route_regex(route)} if "{" in route else {"exact": route}


def _set_policy(entry: Any, wanted: RoutePolicy, files: _Files) -> None:
    total_s = wanted.seconds("total_timeout")
    if total_s is not None:
        entry["timeout"] = decimal_duration(total_s)
    if wanted.attempts == 0:
        entry["retries"] = {"attempts": 0}
    elif wanted.attempts is not None:
        retries = dict(entry.get("retries") or {}) | {"attempts": wanted.attempts}
        if wanted.conditions is not None:
            retries["retryOn"] = wanted.conditions
        entry["retries"] = retries
    _set_per_try(entry, wanted, files)
    _set_idle(entry, wanted, files)


def _set_per_try(entry: Any, wanted: RoutePolicy, files: _Files) -> None:
    if "first_token_timeout" in wanted.wanted:
        _unexpressed(files, wanted.wanted["first_token_timeout"].items, FIRST_TOKEN)
    if "per_try_timeout" not in wanted.wanted:
        return
    if wanted.per_try_s is not None and (entry.get("retries") or {}).get("attempts"):
        entry["retries"]["perTryTimeout"] = decimal_duration(wanted.per_try_s)
        return
    _unexpressed(files, wanted.wanted["per_try_timeout"].items, PER_TRY)


def _set_idle(entry: Any, wanted: RoutePolicy, files: _Files) -> None:
    idle_s = wanted.seconds("idle_gap_timeout")
    if idle_s is None:
        return
    # The filter finds the route by its name, so it needs one.
    entry.setdefault("name", f"{NAME_PREFIX}{files.policy.callee}-{wanted.label}")
    files.filters.append(_idle_patch(str(entry["name"]), idle_s))
    _unexpressed(files, wanted.wanted["idle_gap_timeout"].items, IDLE)


def _unexpressed(files: _Files, items: tuple[Recommendation, ...], why: str) -> None:
    known = {(item.setting, item.target) for item in files.unexpressed}
    files.unexpressed += [not_expressible(item, why) for item in items if (item.setting, item.target) not in known]


def _idle_patch(route: str, idle_s: float) -> dict[str, Any]:
    return {
        "applyTo": "HTTP_ROUTE",
        # Any context: callers are sidecars or a gateway, and the route's name is its own.
        "match": {"context": "ANY", "routeConfiguration": {"vhost": {"route": {"name": route}}}},
        "patch": {"operation": "MERGE", "value": {"route": {"idle_timeout": decimal_duration(idle_s)}}},
    }


def _envoy_filter(files: _Files) -> dict[str, Any]:
    return _resource("EnvoyFilter", "v1alpha3", files, {"configPatches": files.filters}, suffix="-idle-timeout")


# DestinationRule


def _add_destination_rule(files: _Files, current: Manifest | None) -> None:
    body = copy.deepcopy(current.body) if current else _resource("DestinationRule", "v1", files, {"host": _host(files)})
    policy = body["spec"].setdefault("trafficPolicy", {})
    budgeted = bool(files.policy.budget) and _set_budget(policy, entries(body, "spec", "subsets"), files)
    placed, lacking = set_locality(policy, files.policy, files.plan.settings)
    files.unexpressed += lacking
    if put(policy, files.policy.others, ISTIO) or budgeted or placed:
        files.bodies.append(body)


def _set_budget(policy: Any, subsets: list[Any], files: _Files) -> bool:
    """Set the retry budget; whether this Istio has one."""
    running = files.plan.version("istio")
    items = tuple(item for wanted in files.policy.budget.values() for item in wanted.items)
    if not has_field("istio", BUDGET, running):
        _unexpressed(files, items, NO_BUDGET)
        return False
    if BUDGET_SUBSET.has(running) and any(subset.get("trafficPolicy") for subset in subsets):
        _unexpressed(files, items, f"in Istio {'.'.join(map(str, running))} {BUDGET_SUBSET.what}; 1.29.2 and 1.30 do not")
    elif not has_field("istio", INTERVAL, running):
        _unexpressed(files, items, CONCURRENCY)
    policy["retryBudget"] = dict(_budget(files, running))
    return True


def _budget(files: _Files, running: Version) -> Iterator[tuple[str, Any]]:
    budget = files.policy.budget
    if "retry_budget_ratio" in budget:
        # Always written: left out, some releases took 0.2 % for 20 %.
        yield "percent", round(float(budget["retry_budget_ratio"].value) * 100, 6)
    least = float(budget["retry_budget_min_per_s"].value) if "retry_budget_min_per_s" in budget else 0.0
    yield "minRetryConcurrency", least_repetitions(least)
    if has_field("istio", INTERVAL, running):
        yield "budgetInterval", decimal_duration(BUDGET_INTERVAL_S)


EMITTER = IstioEmitter()
