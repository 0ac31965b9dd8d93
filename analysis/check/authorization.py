"""What the rules on identity ask of Istio's security policies."""

from collections.abc import Iterator
from typing import Any, Final

from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries
from meshslo.analysis.policy.readers.istio_security import GROUP

from .rule import Subject

ROOT: Final = "istio-system"
"""The namespace whose policies hold for the mesh, unless somebody chose another."""


def action(policy: Manifest) -> str:
    """What an AuthorizationPolicy does with calls that match."""
    return str(policy.spec.get("action", "ALLOW"))


def sources(policy: Manifest) -> Iterator[tuple[Any, Any]]:
    """Each rule of an AuthorizationPolicy with each of its sources."""
    for rule in entries(policy.spec, "rules"):
        for each in entries(rule, "from"):
            yield rule, child(each, "source")


def operations(policy: Manifest) -> Iterator[Any]:
    """Each operation that its rules name."""
    for rule in entries(policy.spec, "rules"):
        for each in entries(rule, "to"):
            yield child(each, "operation")


def is_strict(subject: Subject, namespace: str) -> bool:
    """Whether the manifests say that workloads of a namespace take nothing but mutual TLS."""
    modes = {
        policy.namespace: str(child(policy.spec, "mtls").get("mode", "UNSET"))
        for policy in subject.of(GROUP, "PeerAuthentication")
        if policy.spec.get("selector") is None
    }
    own = modes.get(namespace, "UNSET")
    return (modes.get(ROOT, "UNSET") if own == "UNSET" else own) == "STRICT"
