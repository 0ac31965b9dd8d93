"""MS920: resources of a mesh's group, or of none, that nobody here knows."""

import difflib
from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject
from meshslo.analysis.policy.kinds import MESH, is_a_meshs, is_known


def _find(subject: Subject) -> Iterator[Hit]:
    for manifest in subject.manifests:
        if is_known(manifest):
            continue
        if is_a_meshs(manifest):
            kinds = [kind for group, kind in MESH if group == manifest.group]
            near = difflib.get_close_matches(manifest.kind, kinds, n=1)
            meant = f"; is it {near[0]}?" if near else ""
            message = f"{manifest.group} has no kind {manifest.kind or '(none)'} that is known here: it is not checked{meant}"
            yield Hit(manifest.place(manifest.body, "kind"), message)
        elif not manifest.kind:
            yield Hit(
                manifest.place(manifest.body, "kind"), "this names no kind and is no Envoy configuration: it is not checked"
            )


RULE = Rule(
    code="MS920",
    name="unknown-kind",
    severity="info",
    finds="A resource in an API group of a mesh whose kind is not known, or a document without a kind.",
    why="A misspelt kind is refused at deployment, and what is meant never holds; a values file is no manifest.",
    instead="the kind as the mesh spells it; pass rendered manifests, not values",
    evidence="The CRDs of the meshes (analysis/policy/kinds.py).",
    find=_find,
)
