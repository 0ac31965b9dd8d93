"""MS412: a policy that lets anybody in."""

from collections.abc import Iterator

from meshslo.analysis.check.authorization import action
from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries
from meshslo.analysis.policy.readers.istio_security import ANYBODY, GROUP, principals


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:  # noqa: ARG001 - the contract's
    if action(manifest) != "ALLOW":
        return
    rules = entries(manifest.spec, "rules")
    split = any(rule.get("from") and not rule.get("to") for rule in rules)
    for rule in rules:
        if ANYBODY not in principals(rule) or _by_namespace(rule):
            continue
        place = manifest.place(rule, "from" if "from" in rule else "to")
        if not rule.get("from") and split:
            yield Hit(
                place, "this rule has no `from` and the one beside it no `to`: rules are alternatives, so anybody may do this"
            )
        else:
            yield Hit(place, "this rule asks for no principal: anybody may do what it allows")


def _by_namespace(rule: object) -> bool:
    """Whether every source of it asks for something else instead: a namespace, an address, a token."""
    asked = ("namespaces", "ipBlocks", "remoteIpBlocks", "requestPrincipals", "principals", "serviceAccounts")
    sources = [child(source, "source") for source in entries(rule, "from")]
    return bool(sources) and all(any(source.get(name) not in (None, ["*"]) for name in asked) for source in sources)


RULE = Rule(
    code="MS412",
    name="allow-any-principal",
    severity="error",
    finds="An ALLOW rule without `from`, with the principal `*`, or `rules: [{}]`; `from` and `to` as separate list items.",
    why="A missing `from` is any source, and list items are alternatives: the policy looks strict and is open.",
    instead="the principals that call, in the same list item as what they may do",
    evidence="istio/istio#24665; authorization_policy.proto in istio/api.",
    find=each(GROUP, "AuthorizationPolicy", inspect=_inspect),
)
