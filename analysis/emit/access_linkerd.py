"""Linkerd's policies of who may call whom: Server, MeshTLSAuthentication, AuthorizationPolicy; EgressNetwork for hosts outside.

Sources: linkerd.io reference/authorization-policy and egress-network. A Server refuses all that nothing authorizes; its
`accessPolicy: audit` only logs. Identities are `ACCOUNT.NAMESPACE.serviceaccount.identity.linkerd.DOMAIN`, of one cluster.
"""

from collections.abc import Iterator
from typing import Any, Final

from meshslo.analysis.recommend.recommendation import Recommendation

from . import Document
from .access import Access
from .plan import COMMENT, NAME_PREFIX, Plan, comments_of, comments_on, not_expressible, resource

POLICY: Final = "policy.linkerd.io"
HTTPS_PORT: Final = 443

METHODS: Final = (
    "who may call a Server may call all of it. The closest is an HTTPRoute of the Server for the route, with an "
    "AuthorizationPolicy of its own: once there is one, probes and every other path need one, too"
)
NO_ACCOUNT: Final = "no service account is told by these principals; Linkerd admits service accounts and namespaces"
HOSTS: Final = (
    "an EgressNetwork holds for all pods of its namespace, so each may call what any of them may; and Linkerd says itself that "
    "it is no security boundary"
)


def access_documents(plan: Plan) -> Iterator[Document]:
    """A file for each service that only callers of known service accounts, or with a certificate, may call; one for hosts."""
    for access in plan.accesses:
        accounts = _accounts(access)
        if accounts or access.strict:
            yield Document.of(f"{access.callee}-access.yaml", _of(access, accounts, plan), comments_on(access))
    if plan.outwards:
        items = [item for outward in plan.outwards for item in outward.items]
        comments = [*comments_of(items), f"{COMMENT}{HOSTS}"]
        yield Document.of("egress.yaml", _egress(plan), comments)


def _accounts(access: Access) -> list[tuple[str, str]]:
    return sorted({account for rule in access.rules for account in rule.accounts})


def unexpressed_access(plan: Plan) -> list[Recommendation]:
    """What of it Linkerd's policies do not say."""
    found = []
    for access in plan.accesses:
        told = bool(_accounts(access))
        for item in access.items:
            if item.setting == "allowed_methods":
                found.append(not_expressible(item, METHODS))
            elif item.setting == "allowed_principals" and not told:
                found.append(not_expressible(item, NO_ACCOUNT))
    return found


def _of(access: Access, accounts: list[tuple[str, str]], plan: Plan) -> Iterator[dict[str, Any]]:
    name = access.callee
    server = {
        "podSelector": {"matchLabels": {"app": name}},
        "port": plan.settings.port,
        "proxyProtocol": "unknown",
        "accessPolicy": "audit" if plan.settings.dry_run else "deny",
    }
    references = [{"kind": "ServiceAccount", "name": account, "namespace": namespace} for namespace, account in accounts]
    # Of callers whose account is not known all that can be asked is that they prove to be somebody.
    authentication = {"identityRefs": references} if accounts else {"identities": ["*"]}
    policy = {
        "targetRef": {"group": POLICY, "kind": "Server", "name": name},
        "requiredAuthenticationRefs": [{"group": POLICY, "kind": "MeshTLSAuthentication", "name": f"{name}-callers"}],
    }
    yield resource(f"{POLICY}/v1beta3", "Server", name, plan, server)
    yield resource(f"{POLICY}/v1alpha1", "MeshTLSAuthentication", f"{name}-callers", plan, authentication)
    yield resource(f"{POLICY}/v1alpha1", "AuthorizationPolicy", f"{name}-callers", plan, policy)


def _egress(plan: Plan) -> Iterator[dict[str, Any]]:
    hosts = sorted({host for outward in plan.outwards for host in outward.hosts})
    name = f"{NAME_PREFIX}egress"
    policy = "Allow" if plan.settings.dry_run else "Deny"
    yield resource(f"{POLICY}/v1alpha1", "EgressNetwork", name, plan, {"trafficPolicy": policy})
    if hosts:
        parent = {"group": POLICY, "kind": "EgressNetwork", "name": name, "port": HTTPS_PORT}
        backend = {"group": POLICY, "kind": "EgressNetwork", "name": name, "port": HTTPS_PORT}
        spec = {"parentRefs": [parent], "hostnames": hosts, "rules": [{"backendRefs": [backend]}]}
        yield resource("gateway.networking.k8s.io/v1alpha2", "TLSRoute", name, plan, spec)
