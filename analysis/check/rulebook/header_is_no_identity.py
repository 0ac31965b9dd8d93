"""MS422: a header that anybody can set, taken for identity."""

from collections.abc import Iterator

from meshslo.analysis.check.authorization import action
from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import entries
from meshslo.analysis.policy.readers.istio_security import ANYBODY, GROUP, principals


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:  # noqa: ARG001 - the contract's
    if action(manifest) != "ALLOW":
        return
    for rule in entries(manifest.spec, "rules"):
        for condition in entries(rule, "when"):
            key = str(condition.get("key", ""))
            if key.startswith("request.headers[") and ANYBODY in principals(rule):
                yield Hit(
                    manifest.place(condition, "key"), f"{key} is whatever the caller writes, and no principal is asked for"
                )


RULE = Rule(
    code="MS422",
    name="header-is-no-identity",
    severity="warning",
    finds="An ALLOW rule on a request header, of a tenant say, that asks for no principal.",
    why="A header is as trustworthy as whoever sets it: any pod can write another tenant's name.",
    instead="the principal of the gateway that sets the header beside it, or request.auth.claims of a token",
    evidence="authorization_policy.proto in istio/api: conditions are evaluated on what the request carries.",
    find=each(GROUP, "AuthorizationPolicy", inspect=_inspect),
)
