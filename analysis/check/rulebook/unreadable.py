"""MS900: what cannot be read, and so is not checked. It is found while reading, by `check` itself and by every rule."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import UNREADABLE, Hit, Rule, Subject


def _find(subject: Subject) -> Iterator[Hit]:  # noqa: ARG001 - the contract's
    yield from ()


RULE = Rule(
    code=UNREADABLE,
    name="unreadable",
    severity="error",
    finds="A file that is no YAML or JSON, a key given twice, a template that was not rendered, a value of the wrong kind.",
    why="Nothing is known of what it would do. The other files and resources are still checked.",
    instead="mend it, so that it can be checked; templates first through `helm template` or `kustomize build`",
    evidence="Kubernetes takes the last of two equal keys without a word.",
    find=_find,
)
