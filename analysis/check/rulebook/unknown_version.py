"""MS921: a version of an API that nobody here knows."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject
from meshslo.analysis.policy.kinds import versions_of


def _find(subject: Subject) -> Iterator[Hit]:
    for manifest in subject.manifests:
        version = str(manifest.body.get("apiVersion", "")).partition("/")[2]
        known = versions_of(manifest)
        if known and version not in known:
            yield Hit(
                manifest.place(manifest.body, "apiVersion"),
                f"{manifest.kind} has no version {version or '(none)'} that is known here, only {', '.join(known)}: it is read "
                f"as {known[0]}",
            )


RULE = Rule(
    code="MS921",
    name="unknown-version",
    severity="warning",
    finds="A resource of a mesh in a version of its API that is not known: newer than this, withdrawn, or misspelt.",
    why="Fields may have moved: what is found here may not be what holds.",
    instead="a version that the mesh serves",
    evidence="The CRDs of the meshes (analysis/policy/kinds.py).",
    find=_find,
)
