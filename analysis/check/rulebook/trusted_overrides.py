"""MS223: callers that may set their own timeouts and retries."""

from collections.abc import Iterator
from typing import Any, Final

from meshslo.analysis.check.rule import Hit, Rule, Subject, each_manifest
from meshslo.analysis.policy.kinds import is_envoys
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries, scalars

FLAG: Final = "--allow-l5d-request-headers"


def _inspect(manifest: Manifest, _: Subject) -> Iterator[Hit]:
    if manifest.is_a("apps", "Deployment"):
        yield from _linkerd(manifest)
    elif is_envoys(manifest):
        yield from _envoy(manifest, manifest.body)


def _linkerd(manifest: Manifest) -> Iterator[Hit]:
    for container in entries(manifest.spec, "template", "spec", "containers"):
        if any(str(argument).startswith(FLAG) for argument in scalars(container, "args")):
            yield Hit(manifest.place(container, "args"), f"with {FLAG} every caller chooses its own timeouts and retries")


def _envoy(manifest: Manifest, node: Any) -> Iterator[Hit]:
    """Connection managers that take any peer in private networks for an internal one, and its x-envoy-... headers with it."""
    if isinstance(node, dict):
        if "route_config" in node and child(node, "internal_address_config").get("unix_sockets") is None and _is_edge(node):
            yield Hit(
                manifest.place(node, "use_remote_address"),
                "this listener takes x-envoy-upstream-rq-timeout-ms and x-envoy-retry-on from callers that look internal",
            )
        for value in node.values():
            yield from _envoy(manifest, value)
    elif isinstance(node, list):
        for value in node:
            yield from _envoy(manifest, value)


def _is_edge(manager: Any) -> bool:
    """Whether it is set up for an edge, and says nothing of which addresses are internal."""
    return manager.get("use_remote_address") is True and not child(manager, "internal_address_config")


RULE = Rule(
    code="MS223",
    name="trusted-overrides",
    severity="warning",
    finds="Linkerd's policy controller with --allow-l5d-request-headers; an Envoy listener for an edge (use_remote_address) "
    "that does not say which addresses are internal.",
    why="Callers choose their own timeouts and retries by header: each can hold a GPU slot, or repeat a generation, as it "
    "likes.",
    instead="no such flag behind an ingress; internal_address_config with the mesh's own networks; those headers stripped at"
    " the edge",
    evidence="linkerd.io features/retries-and-timeouts; aws/aws-app-mesh-roadmap#404; envoyproxy/envoy#19498.",
    find=each_manifest(_inspect),
)
