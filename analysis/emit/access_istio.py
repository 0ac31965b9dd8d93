"""Istio's policies of who may call whom: PeerAuthentication, AuthorizationPolicy; ServiceEntry and Sidecar for hosts outside.

Sources: istio/api security/v1 and networking/v1 service_entry.proto, sidecar.proto; istio.io concepts/security (a principal is
`trust-domain/ns/NAMESPACE/sa/ACCOUNT`; the annotation `istio.io/dry-run` makes a policy log what it would refuse).
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from . import Document
from .access import Access, Outward, Rule
from .plan import COMMENT, NAME_PREFIX, Plan, comments_of, comments_on, resource

SECURITY: Final = "security.istio.io/v1"
NETWORKING: Final = "networking.istio.io/v1"
DRY_RUN: Final = {"istio.io/dry-run": "true"}
HTTPS_PORT: Final = 443

GATEWAY_NAMESPACE: Final = "istio-system"
GATEWAY: Final = {"matchLabels": {"istio": "egressgateway"}}
"""Where Istio's own charts put the egress gateway, and what they label it."""

NO_BOUNDARY: Final = (
    f"{COMMENT}REGISTRY_ONLY is no security boundary: a workload that goes round its proxy is not held. Let a NetworkPolicy "
    "admit nothing but the mesh, and send what may leave through an egress gateway with an AuthorizationPolicy of its own"
)
AT_THE_GATEWAY: Final = (
    f"{COMMENT}the AuthorizationPolicy holds at the egress gateway, for what is routed through it over the mesh's own TLS; it "
    "refuses every caller there that no such policy names"
)


def access_documents(plan: Plan) -> Iterator[Document]:
    """A file for each service whose callers are known, and one for each that may call hosts outside."""
    for access in plan.accesses:
        bodies = [*_peer_authentication(access, plan), *_authorization_policy(access, plan)]
        if bodies:
            yield Document.of(f"{access.callee}-access.yaml", bodies, comments_on(access))
    for outward in plan.outwards:
        gateway = list(_at_gateway(outward, plan))
        entries = [_service_entry(host, plan) for host in outward.hosts]
        bodies = [*entries, _sidecar(outward, plan), *gateway, *_network(outward, plan)]
        notes = [NO_BOUNDARY, *([AT_THE_GATEWAY] if gateway else [])]
        yield Document.of(f"{outward.caller}-egress.yaml", bodies, [*comments_of(outward.items), *notes])


def _selector(service: str) -> dict[str, Any]:
    return {"matchLabels": {"app": service}}


def _peer_authentication(access: Access, plan: Plan) -> Iterator[dict[str, Any]]:
    if access.strict:
        spec = {"selector": _selector(access.callee), "mtls": {"mode": "STRICT"}}
        yield resource(SECURITY, "PeerAuthentication", access.callee, plan, spec)


def _authorization_policy(access: Access, plan: Plan) -> Iterator[dict[str, Any]]:
    if not access.rules:
        return
    rules = [_rule(rule) for rule in access.rules]
    spec = {"selector": _selector(access.callee), "action": "ALLOW", "rules": rules}
    body = resource(SECURITY, "AuthorizationPolicy", access.callee, plan, spec)
    yield _dry(body, plan)


def _at_gateway(outward: Outward, plan: Plan) -> Iterator[dict[str, Any]]:
    """Who may send what out through the egress gateway, where the caller's identity is known."""
    if outward.principals and outward.hosts:
        hosts = [name for host in outward.hosts for name in (host, f"{host}:*")]
        rule = {"from": [{"source": {"principals": list(outward.principals)}}], "to": [{"operation": {"hosts": hosts}}]}
        spec = {"selector": GATEWAY, "action": "ALLOW", "rules": [rule]}
        body = resource(SECURITY, "AuthorizationPolicy", f"{outward.caller}-egress", plan, spec)
        body["metadata"]["namespace"] = GATEWAY_NAMESPACE
        yield _dry(body, plan)


def _dry(body: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """The policy, which only logs where that is wanted."""
    if plan.settings.dry_run:
        body["metadata"]["annotations"] = dict(DRY_RUN)
    return body


def _rule(rule: Rule) -> dict[str, Any]:
    operation: dict[str, Any] = {}
    if rule.route is not None and rule.route.startswith("/"):
        operation["paths"] = [re.sub(r"\{[^}]*\}", "{*}", rule.route)]
    if rule.methods:
        operation["methods"] = list(rule.methods)
    who = [{"source": {"principals": list(rule.principals)}}]
    return {"from": who, "to": [{"operation": operation}]} if operation else {"from": who}


def _service_entry(host: str, plan: Plan) -> dict[str, Any]:
    spec = {
        "hosts": [host],
        "exportTo": ["."],
        "location": "MESH_EXTERNAL",
        "resolution": "DNS",
        "ports": [{"number": HTTPS_PORT, "name": "tls", "protocol": "TLS"}],
    }
    return resource(NETWORKING, "ServiceEntry", f"{NAME_PREFIX}{re.sub(r'[^a-z0-9]+', '-', host).strip('-')}", plan, spec)


def _sidecar(outward: Outward, plan: Plan) -> dict[str, Any]:
    inside = [_full(plan.host(callee), plan) for callee in outward.inside]
    hosts = ["istio-system/*", *(f"./{host}" for host in sorted({*inside, *outward.hosts}))]
    spec = {
        "workloadSelector": {"labels": {"app": outward.caller}},
        "egress": [{"hosts": hosts}],
        "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
    }
    return resource(NETWORKING, "Sidecar", outward.caller, plan, spec)


def _full(host: str, plan: Plan) -> str:
    return host if "." in host else f"{host}.{plan.settings.namespace}.svc.cluster.local"


def _network(outward: Outward, plan: Plan) -> Iterator[dict[str, Any]]:
    """Where no host outside is called nothing need leave the cluster; a NetworkPolicy cannot name hosts."""
    if not outward.hosts:
        spec = {
            "podSelector": _selector(outward.caller),
            "policyTypes": ["Egress"],
            "egress": [{"to": [{"namespaceSelector": {}}]}],
        }
        yield resource("networking.k8s.io/v1", "NetworkPolicy", f"{outward.caller}-egress", plan, spec)
