"""YAML and JSON manifests with the line of everything in them, so that each value read can say where it stands.

Loaded in ruamel's round-trip form: writing a patched manifest keeps comments, order and quotes.
"""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from meshslo.telemetry.errors import BadInputError

WIDTH: Final = 4096
"""Lines are not folded: a manifest in use keeps those it has."""

# "{{" outside quotes and comments: Helm's, and no YAML that anybody writes. Some of it parses, as nonsense.
_TEMPLATE: Final = re.compile(r"^[^#\"'\n]*\{\{", re.MULTILINE)


@dataclass(frozen=True)
class Manifest:
    """One document of a file: its mapping (round-trip form), the file's name, and its number in the file from 1."""

    body: Any
    file: str
    number: int = 1

    @property
    def kind(self) -> str:
        """The Kubernetes kind, "" where it has none."""
        return str(self.body.get("kind", ""))

    @property
    def group(self) -> str:
        """The Kubernetes API group, "" where it has none."""
        return str(self.body.get("apiVersion", "")).partition("/")[0]

    def place(self, node: Any, key: str) -> str:
        """Where `key` of the mapping `node` stands: "file.yaml:17"; of the mapping itself where it has no such key."""
        position = getattr(node, "lc", None)
        if position is None:
            return self.file
        # What was set after loading has no line of its own.
        line = position.key(key)[0] if key in (position.data or ()) else position.line
        return f"{self.file}:{line + 1}"


def load(text: str, file: str) -> list[Manifest]:
    """The documents of a YAML or JSON text; empty ones are left out.

    Raises BadInputError naming file and line for what is no YAML, a key given twice, or a document that is no mapping.
    """
    if template := _TEMPLATE.search(text):
        line_number = text.count("\n", 0, template.end()) + 1
        raise BadInputError(f"{file}:{line_number} is a template; render it first (helm template, kustomize build)")
    try:
        bodies = list(_yaml().load_all(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise BadInputError(f"{file}{line} is no YAML: {error.problem}") from None
    except YAMLError as error:
        raise BadInputError(f"{file} is no YAML: {error}") from None
    for number, body in enumerate(bodies, 1):
        if body is not None and not isinstance(body, Mapping):
            raise BadInputError(f"{file}: document {number} is no mapping but {type(body).__name__}; a manifest is a mapping")
    return [Manifest(body, file, number) for number, body in enumerate(bodies, 1) if body is not None]


def dump(body: Any) -> str:
    """YAML of a mapping, plain or loaded by `load`."""
    stream = io.StringIO()
    _yaml().dump(body, stream)
    return stream.getvalue()


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.width = WIDTH
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def items(node: Any) -> Iterator[Any]:
    """The members of a list in a manifest; nothing where it is absent."""
    yield from node or ()


def first_label(host: str) -> str:
    """The service in a host name or an Istio cluster name.

    >>> first_label("generator.rag.svc.cluster.local"), first_label("outbound|80||generator.rag.svc.cluster.local")
    ('generator', 'generator')
    """
    return host.rpartition("|")[2].partition(".")[0]
