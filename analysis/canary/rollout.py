"""The routing of a rollout: calls with a header go to the candidate, of all others its weight; at weight 0 none at all.

The header's rule stands before the weighted one: of rules that match, the first holds. Manifests in use are changed in place,
and changing them twice changes nothing. Sources: istio/api virtual_service.proto (weights of a route are relative, a subset
must exist in a DestinationRule), gateway-api apis/v1/httproute_types.go, envoy.config.route.v3 WeightedCluster.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshslo.analysis.config import Emit
from meshslo.analysis.emit import Document
from meshslo.analysis.emit.plan import NAME_PREFIX
from meshslo.analysis.emit.routes import GROUP, foreign_routes
from meshslo.analysis.policy.manifest import Manifest, first_label, load_editable
from meshslo.analysis.policy.readers.envoy import find_routes
from meshslo.telemetry.errors import BadInputError

ISTIO: Final = "networking.istio.io/v1"
FOR_TESTERS: Final = f"{NAME_PREFIX}canary"
"""What the header's rule is called by, so that the next run finds and replaces it."""


@dataclass(frozen=True)
class Rollout:
    """What is rolled out to which weight (per cent), and the header by which testers ask for the candidate."""

    callee: str
    baseline: str
    candidate: str
    weight: int
    header: str = "x-canary"
    service: str = "{callee}-{version}"
    """Where versions are services or clusters of their own: what they are called."""

    @property
    def shares(self) -> tuple[tuple[str, int], ...]:
        """Version and weight."""
        return (self.baseline, 100 - self.weight), (self.candidate, self.weight)

    def named(self, version: str) -> str:
        """The service or cluster of a version."""
        return self.service.format(callee=self.callee, version=version)


def route_documents(mesh: str, rollout: Rollout, settings: Emit, manifests: Mapping[str, str]) -> tuple[Document, ...]:
    """The rollout as documents of a mesh, on top of `manifests` (file name -> text) where they route to the callee.

    Raises BadInputError for a mesh that this is not known for, and for Envoy without a bootstrap to change.
    """
    if mesh not in ROLLOUTS:
        raise BadInputError(f'no rollout for "{mesh}"; there are {", ".join(sorted(ROLLOUTS))}')
    return ROLLOUTS[mesh](rollout, settings, manifests)


# Istio


def _istio(rollout: Rollout, settings: Emit, manifests: Mapping[str, str]) -> tuple[Document, ...]:
    current = [m for name, text in sorted(manifests.items()) for m in load_editable(text, name)]
    host = settings.host.format(callee=rollout.callee, namespace=settings.namespace)
    service = _found(current, "VirtualService", rollout.callee)
    service = service or _resource("VirtualService", rollout, settings, {"hosts": [host], "http": [{"route": []}]})
    http = service["spec"]["http"]
    for entry in [entry for entry in http if str(entry.get("name", "")).startswith(FOR_TESTERS)]:
        http.remove(entry)
    for number, entry in enumerate([entry for entry in http if _leads_to(entry, rollout.callee)]):
        entry["route"] = [_destination(host, version, weight) for version, weight in rollout.shares]
        if rollout.weight:
            http.insert(_place(http, entry), _for_testers(entry, rollout, host, number))
    rule = _found(current, "DestinationRule", rollout.callee)
    rule = rule or _resource("DestinationRule", rollout, settings, {"host": host})
    subsets = rule["spec"].setdefault("subsets", [])
    known = {subset.get("name") for subset in subsets}
    subsets += [{"name": v, "labels": {"version": v}} for v, _ in rollout.shares if v not in known]
    return (Document.of(f"{rollout.callee}-canary.yaml", (service, rule)),)


def _found(current: list[Manifest], kind: str, callee: str) -> Any | None:
    for manifest in current:
        hosts = manifest.spec.get("hosts") or [manifest.spec.get("host", "")]
        if manifest.kind == kind and any(first_label(str(host)) == callee for host in hosts):
            return manifest.body
    return None


def _resource(kind: str, rollout: Rollout, settings: Emit, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": rollout.callee, "namespace": settings.namespace}
    return {"apiVersion": ISTIO, "kind": kind, "metadata": metadata, "spec": spec}


def _leads_to(entry: Any, callee: str) -> bool:
    hosts = [str((route.get("destination") or {}).get("host", "")) for route in entry.get("route") or []]
    return not hosts or any(first_label(host) == callee for host in hosts)


def _destination(host: str, version: str, weight: int) -> dict[str, Any]:
    return {"destination": {"host": host, "subset": version}, "weight": weight}


def _for_testers(entry: Any, rollout: Rollout, host: str, number: int) -> dict[str, Any]:
    """A copy of an entry for calls with the header, all to the candidate."""
    rest = {key: value for key, value in copy.deepcopy(entry).items() if key not in ("name", "match", "route")}
    header = {rollout.header: {"exact": "true"}}
    matches = [
        {**copy.deepcopy(match), "headers": {**(match.get("headers") or {}), **header}} for match in entry.get("match") or [{}]
    ]
    name = FOR_TESTERS if number == 0 else f"{FOR_TESTERS}-{number}"
    return {"name": name, "match": matches, "route": [_destination(host, rollout.candidate, 100)], **rest}


def _place(entries: Any, entry: Any) -> int:
    return next(at for at, each in enumerate(entries) if each is entry)


# Gateway API, Linkerd and Envoy Gateway


def _at_service(rollout: Rollout, settings: Emit, manifests: Mapping[str, str]) -> tuple[Document, ...]:
    parent = {"group": "", "kind": "Service", "name": rollout.callee, "port": settings.port}
    return _http_route(rollout, settings, manifests, parent)


def _at_gateway(rollout: Rollout, settings: Emit, manifests: Mapping[str, str]) -> tuple[Document, ...]:
    return _http_route(rollout, settings, manifests, {"group": GROUP, "kind": "Gateway", "name": settings.gateway})


def _http_route(
    rollout: Rollout, settings: Emit, manifests: Mapping[str, str], parent: Mapping[str, Any]
) -> tuple[Document, ...]:
    def reference(version: str, weight: int) -> dict[str, Any]:
        return {"name": rollout.named(version), "port": settings.port, "weight": weight}

    def everything(**more: Any) -> list[dict[str, Any]]:
        return [{"path": {"type": "PathPrefix", "value": "/"}, **more}]

    header = {"type": "Exact", "name": rollout.header, "value": "true"}
    testers = {"matches": everything(headers=[header]), "backendRefs": [reference(rollout.candidate, 1)]}
    others = {"matches": everything(), "backendRefs": [reference(*share) for share in rollout.shares]}
    body = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": f"{FOR_TESTERS}-{rollout.callee}", "namespace": settings.namespace},
        "spec": {"parentRefs": [dict(parent)], "rules": [testers, others] if rollout.weight else [others]},
    }
    return (Document.of(f"{rollout.callee}-canary.yaml", [body], foreign_routes(manifests, rollout.callee)),)


# Envoy


def _envoy(rollout: Rollout, _: Emit, manifests: Mapping[str, str]) -> tuple[Document, ...]:
    documents = []
    for name, text in sorted(manifests.items()):
        loaded = load_editable(text, name)
        changed = [_set_weights(manifest.body, rollout) for manifest in loaded]
        if any(changed):
            documents.append(Document.of(name, (manifest.body for manifest in loaded)))
    if not documents:
        both = " and ".join(rollout.named(version) for version, _ in rollout.shares)
        raise BadInputError(f"no route of the manifests leads to {both} by weight; pass the bootstrap in use with --current")
    return tuple(documents)


def _set_weights(body: Any, rollout: Rollout) -> bool:
    for found in list(find_routes(body)):
        if str(found.route.get("name", "")).startswith(FOR_TESTERS):
            found.siblings.remove(found.route)
    routes = [found for found in find_routes(body) if _by_weight(found.route["route"], rollout)]
    for found in routes:
        shares = [{"name": rollout.named(version), "weight": weight} for version, weight in rollout.shares]
        found.route["route"]["weighted_clusters"] = {"clusters": shares}
        if rollout.weight:
            found.siblings.insert(_place(found.siblings, found.route), _route_for_testers(found.route, rollout))
    return bool(routes)


def _route_for_testers(route: Any, rollout: Rollout) -> Any:
    """A copy of a route for calls with the header, all to the candidate."""
    testers = copy.deepcopy(route)
    testers["name"] = FOR_TESTERS
    testers["match"]["headers"] = [
        *testers["match"].get("headers", []),
        {"name": rollout.header, "string_match": {"exact": "true"}},
    ]
    del testers["route"]["weighted_clusters"]
    testers["route"]["cluster"] = rollout.named(rollout.candidate)
    return testers


def _by_weight(action: Any, rollout: Rollout) -> bool:
    clusters: Iterator[Any] = iter((action.get("weighted_clusters") or {}).get("clusters") or [])
    names = {str(cluster.get("name")) for cluster in clusters}
    return {rollout.named(version) for version, _ in rollout.shares} <= names


ROLLOUTS: Final[dict[str, Callable[[Rollout, Emit, Mapping[str, str]], tuple[Document, ...]]]] = {
    "istio": _istio,
    "gateway-api": _at_service,
    "linkerd": _at_service,
    "envoy-gateway": _at_gateway,
    "envoy": _envoy,
}
