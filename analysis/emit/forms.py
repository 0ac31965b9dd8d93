"""Other forms of what was emitted: a Kustomize component, or a diff against the manifests in use.

Source: RFC 7386 for merge patches, which is what Kustomize makes of a patch to a custom resource (lists are replaced whole,
null removes); kustomize.config.k8s.io/v1alpha1 Component.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from meshslo.analysis.policy.manifest import Manifest, dump, load, load_editable
from meshslo.telemetry.errors import BadConfigError, BadInputError

from . import Document, Emission
from .plan import COMMENT, strip_comments

DIFF: Final = "changes.diff"

Key = tuple[str, str, str, str]
"""API group, kind, namespace and name of a resource."""

_BREAK: Final = re.compile(r"^---[^\n]*(?:\n|\Z)", re.MULTILINE)
_NO_DOCUMENT: Final = re.compile(r"\A\s*[{\[]|^kind: [\"']?List\b", re.MULTILINE)
"""JSON, or a list as kubectl prints it: no resource has lines of its own to change."""
_FLUSH_LIST: Final = re.compile(r"^( *)[^\s#-][^\n]*:\n\1- ", re.MULTILINE)
"""A list whose dashes stand under its key, as Kubernetes' own tools write it."""


def as_kustomize(emission: Emission, manifests: Mapping[str, str]) -> Emission:
    """A Kustomize component: new resources, and merge patches of those in use; what is the same already is left out.

    Add its folder to `components:` of the kustomization that has the manifests in use. Raises BadConfigError for Envoy's own
    configuration, which is no Kubernetes resource.
    """
    current = {_key(manifest): manifest for name, text in manifests.items() for manifest in load(text, name)}
    documents: list[Document] = []
    for document in emission.documents:
        documents += _component_of(document, current)
    if documents:
        documents.append(Document("kustomization.yaml", dump(_kustomization(documents))))
    return Emission(tuple(documents), emission.unexpressed)


def _component_of(document: Document, current: Mapping[Key, Manifest]) -> Iterator[Document]:
    comments, new = _comments(document.text), []
    for manifest in load(document.text, document.path):
        if not manifest.kind:
            raise BadConfigError("Envoy's own configuration is no Kubernetes resource; pass --emit-as manifest or diff")
        there = current.get(_key(manifest))
        if there is None:
            new.append(_plain(manifest.body))
        elif change := merge_patch(there.body, manifest.body):
            named = {name: manifest.body[name] for name in ("apiVersion", "kind")}
            metadata = _name_of(there) | change.pop("metadata", {})
            path = f"patches/{manifest.kind.lower()}-{manifest.name}.yaml"
            yield Document(path, comments + dump(named | {"metadata": metadata} | change))
    if new:
        yield Document(f"resources/{document.path}", comments + "---\n".join(map(dump, new)))


def _name_of(manifest: Manifest) -> dict[str, str]:
    metadata = manifest.body["metadata"]
    return {key: str(metadata[key]) for key in ("name", "namespace") if key in metadata}


def _kustomization(documents: list[Document]) -> dict[str, Any]:
    paths = sorted(document.path for document in documents)
    whole: dict[str, Any] = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
    if resources := [path for path in paths if path.startswith("resources/")]:
        whole["resources"] = resources
    if patches := [{"path": path} for path in paths if path.startswith("patches/")]:
        whole["patches"] = patches
    return whole


def merge_patch(old: Any, new: Any) -> dict[str, Any]:
    """The least merge patch that makes `new` of `old`, both mappings; empty where they are equal.

    >>> merge_patch({"a": 1, "b": {"c": 2, "d": [1]}, "e": 5}, {"a": 1, "b": {"c": 3, "d": [1]}})
    {'b': {'c': 3}, 'e': None}
    """
    change: dict[str, Any] = {}
    for key, value in new.items():
        if isinstance(value, Mapping) and isinstance(old.get(key), Mapping):
            if below := merge_patch(old[key], value):
                change[key] = below
        elif key not in old or old[key] != value:
            change[key] = _plain(value)
    return change | {key: None for key in old if key not in new}


def _plain(value: Any) -> Any:
    """A value without the places of its parts, as it is dumped."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def as_diff(emission: Emission, manifests: Mapping[str, str]) -> Emission:
    """One unified diff that makes the emitted policies of the manifests in use (`git apply`, `patch -p1`).

    Resources that are not in use yet are new files. The evidence stands above each file's changes. Raises BadInputError for
    manifests in use that are JSON or lists, which cannot be patched line by line.
    """
    after: dict[str, str] = {}
    evidence: dict[str, str] = {}
    for document in emission.documents:
        for change in _changes(document, manifests):
            after[change.file] = change.made_in(after.get(change.file, manifests.get(change.file, "")))
            evidence[change.file] = evidence.get(change.file, "") + change.evidence
    diffs = [(file, _unified(file, manifests.get(file), text)) for file, text in after.items()]
    text = "".join(evidence[file] + diff for file, diff in diffs if diff)
    return Emission((Document(DIFF, text),) if text else (), emission.unexpressed)


@dataclass(frozen=True)
class _Change:
    """What becomes of a file: one resource in the place of `there`, or one more; the whole text for Envoy's own files."""

    file: str
    evidence: str
    body: Any
    there: Manifest | None = None

    def made_in(self, text: str) -> str:
        """The file's text with the change made."""
        if isinstance(self.body, str):
            return self.body
        if self.there is None:
            return "---\n".join([*([text] if text else []), dump(self.body)])
        return self._in_place(text, self.there)

    def _in_place(self, text: str, there: Manifest) -> str:
        breaks = [0, *(match.end() for match in _BREAK.finditer(text)), len(text)]
        for start, end in pairwise(breaks):
            segment = _BREAK.sub("", text[start:end])
            found = load_editable(segment, there.file) if segment.strip() else []
            if [_key(each) for each in found] == [_key(there)] and not _NO_DOCUMENT.search(segment):
                after = dump(self.body, flush_lists=_FLUSH_LIST.search(segment) is not None)
                return text[:start] + after + text[start + len(segment) :]
        raise BadInputError(f"{there.file} is JSON or a list; a diff needs one YAML document a resource")


def _changes(document: Document, manifests: Mapping[str, str]) -> Iterator[_Change]:
    """What a document changes; its evidence goes with the first."""
    evidence = _comments(document.text)
    emitted = load_editable(strip_comments(document.text), document.path)
    if not all(manifest.kind for manifest in emitted):
        flush_lists = _FLUSH_LIST.search(manifests.get(document.path, "")) is not None
        whole = "---\n".join(dump(manifest.body, flush_lists=flush_lists) for manifest in emitted)
        yield _Change(document.path, evidence, whole)
        return
    current = {_key(each): each for name, text in manifests.items() for each in load(text, name)}
    for manifest in emitted:
        there = current.get(_key(manifest))
        if there is None:
            yield _Change(_free_name(document.path, manifests), evidence, manifest.body)
        elif merge_patch(there.body, manifest.body):
            yield _Change(there.file, evidence, manifest.body, there)
        else:
            continue
        evidence = ""


def _free_name(path: str, manifests: Mapping[str, str]) -> str:
    """The path for new resources, one that is not in use."""
    return f"meshslo-{path}" if path in manifests else path


def _unified(file: str, before: str | None, after: str) -> str:
    old = [] if before is None else before.splitlines(keepends=True)
    source = "/dev/null" if before is None else f"a/{file}"
    lines = difflib.unified_diff(old, after.splitlines(keepends=True), source, f"b/{file}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _comments(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if line.startswith(COMMENT))


def _key(manifest: Manifest) -> Key:
    return manifest.group, manifest.kind, manifest.namespace, manifest.name
