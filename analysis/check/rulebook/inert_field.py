"""MS118: a field that this release of the mesh does not know, or does not act on."""

from collections.abc import Iterator
from typing import Any, Final

from meshslo.analysis.check.rule import Hit, Rule, Subject
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries
from meshslo.analysis.policy.readers.linkerd import is_linkerds
from meshslo.analysis.policy.versions import FIELDS, Field, has_field
from meshslo.telemetry.errors import BadInputError

GROUPS: Final = {
    "istio": "networking.istio.io",
    "envoy-gateway": "gateway.envoyproxy.io",
    "gateway-api": "gateway.networking.k8s.io",
}


def _find(subject: Subject) -> Iterator[Hit | BadInputError]:
    for field in FIELDS:
        # Envoy refuses what it does not know, and says so.
        if field.mesh not in GROUPS or has_field(field.mesh, field.path, subject.version(field.mesh)):
            continue
        for manifest in subject.of(GROUPS[field.mesh], field.kind):
            yield from _uses(manifest, field, subject)
    for manifest in subject.of(GROUPS["gateway-api"], "HTTPRoute"):
        if is_linkerds(manifest):
            yield from _linkerd(manifest)


def _uses(manifest: Manifest, field: Field, subject: Subject) -> Iterator[Hit]:
    *parents, last = field.path.split(".")
    for holder in _at(manifest.spec, parents):
        if holder.get(last) is not None:
            release = ".".join(map(str, subject.version(field.mesh)))
            named = "" if field.mesh in subject.versions else f"; say --mesh-version {field.mesh}=... where it is another"
            yield Hit(
                manifest.place(holder, last),
                f"{field.path} is of {field.mesh} {field.since} and later; in {release} it is {field.before}{named}",
            )


def _at(node: Any, path: list[str]) -> Iterator[Any]:
    """The mappings at a path, of every member where it names a list."""
    if not path:
        yield node
        return
    key, *rest = path
    children = entries(node, key[:-2]) if key.endswith("[]") else [node[key]] if isinstance(node.get(key), dict) else []
    for found in children:
        yield from _at(found, rest)


def _linkerd(manifest: Manifest) -> Iterator[Hit]:
    for rule in entries(manifest.spec, "rules"):
        for holder, key in ((rule, "retry"), (child(rule, "timeouts"), "backendRequest")):
            if holder.get(key) is not None:
                message = f"Linkerd reads `{key}` of a route and does nothing with it"
                yield Hit(manifest.place(holder, key), message, instead="the annotations retry.linkerd.io/... of the route")


RULE = Rule(
    code="MS118",
    name="inert-field",
    severity="warning",
    finds="A field that the release in use does not have, or that no code of it reads: --mesh-version says which release, else "
    "the newest stable one is taken.",
    why="The API server drops unknown fields without a word and the status says Accepted: what was meant never holds.",
    instead="an upgrade, or what the release in use has",
    evidence="NVIDIA/nvcf#1486; release notes and CRDs of the meshes (analysis/policy/versions.py).",
    find=_find,
)
