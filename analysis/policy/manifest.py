"""YAML and JSON manifests with the line of everything in them, so that each value read can say where it stands.

`load` is for reading and fast (libyaml); `load_editable` keeps comments, order and quotes for writing a patched manifest
back (ruamel's round-trip form, some twenty times slower). Both give mappings whose places `place` knows.
"""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from meshslo.telemetry.errors import BadInputError

from .durations import parse_duration_s
from .node import Node, child, entries, first_label, line_suffix
from .values import Placed

__all__ = ["WIDTH", "Manifest", "dump", "first_label", "load", "load_editable"]

WIDTH: Final = 4096
"""Lines are not folded: a manifest in use keeps those it has."""

# "{{" outside quotes and comments: Helm's, and no YAML that anybody writes. Some of it parses, as nonsense.
_TEMPLATE: Final = re.compile(r"^[^#\"'\n]*\{\{", re.MULTILINE)
_RENDER: Final = "is a template; render it first (helm template, kustomize build)"

_NO_UTF8: Final = re.compile("[\udc80-\udcff]")
_ENCODE: Final = "is no UTF-8; save it as such"


@dataclass(frozen=True)
class Manifest:
    """One document of a file: its mapping, the file's name, and its number in the file from 1."""

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

    @property
    def name(self) -> str:
        """The resource's name, "" where it has none."""
        return str(child(self.body, "metadata").get("name", ""))

    @property
    def namespace(self) -> str:
        """The resource's namespace, "default" where it names none."""
        return str(child(self.body, "metadata").get("namespace", "default"))

    @property
    def spec(self) -> Any:
        """The resource's `spec`, empty where it has none."""
        return child(self.body, "spec")

    @property
    def annotations(self) -> Any:
        """The resource's annotations, empty where it has none."""
        return child(self.body, "metadata", "annotations")

    def is_a(self, group: str, *kinds: str) -> bool:
        """Whether it is of an API group, and of one of `kinds` where some are given."""
        return self.group == group and (not kinds or self.kind in kinds)

    def place(self, node: Any, key: str) -> str:
        """Where `key` of the mapping `node` stands: "file.yaml:17"; of the mapping itself where it has no such key."""
        return f"{self.file}{line_suffix(node, key)}"

    def seconds(self, node: Any, key: str) -> Placed | None:
        """The duration at `key`, None where it is absent; BadInputError names the place of what is no duration."""
        if node.get(key) is None:
            return None
        try:
            return Placed(parse_duration_s(str(node[key])), "s", self.place(node, key))
        except BadInputError as error:
            raise BadInputError(f"{self.place(node, key)}: {key}: {error}") from None

    def amount(self, node: Any, key: str, unit: str = "1", scale: float = 1.0) -> Placed | None:
        """The number at `key` times `scale`, None where it is absent; BadInputError names the place of what is no number."""
        given = node.get(key)
        if given is None:
            return None
        try:
            value = float(given)
        except (TypeError, ValueError):
            raise BadInputError(f"{self.place(node, key)}: {key}: {given!r} is no number") from None
        scaled = value * scale
        return Placed(int(scaled) if unit in ("1", "percent") else scaled, unit, self.place(node, key))


def load(text: str, file: str) -> list[Manifest]:
    """The documents of a YAML or JSON text, to be read; empty ones are left out.

    Raises BadInputError naming file and line for what is no YAML, a key given twice, a document that is no mapping, or what
    was no UTF-8 (bytes kept as Python's `surrogateescape` does).
    """
    _refuse(text, file)
    loader = _Reader(_without_tabs(text))
    loader.file = file
    try:
        bodies = []
        while loader.check_data():  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it out
            bodies.append(loader.get_data())
    except yaml.MarkedYAMLError as error:
        raise _no_yaml(error, text, file) from None
    except yaml.YAMLError as error:
        raise BadInputError(f"{file} is no YAML: {error}") from None
    finally:
        loader.dispose()
    return _manifests(bodies, file)


def load_editable(text: str, file: str) -> list[Manifest]:
    """The documents of a YAML or JSON text, to be changed and dumped; the same errors as `load`."""
    _refuse(text, file)
    try:
        bodies = list(_editor().load_all(_without_tabs(text)))
    except MarkedYAMLError as error:
        raise _no_yaml(error, text, file) from None
    except YAMLError as error:
        raise BadInputError(f"{file} is no YAML: {error}") from None
    return _manifests(bodies, file)


def _no_yaml(error: Any, text: str, file: str) -> BadInputError:
    mark = error.problem_mark or error.context_mark
    # What a text lacks at its end is missed on the line after the last.
    line = f":{min(mark.line + 1, max(1, len(text.splitlines())))}" if mark else ""
    return BadInputError(f"{file}{line} is no YAML: {error.problem}")


def _refuse(text: str, file: str) -> None:
    for found, what in ((_NO_UTF8.search(text), _ENCODE), (_TEMPLATE.search(text), _RENDER)):
        if found:
            raise BadInputError(f"{file}:{text.count(chr(10), 0, found.end()) + 1} {what}")


def _without_tabs(text: str) -> str:
    # JSON may be indented with tabs, YAML may not; in JSON a tab is never part of a value.
    return text.replace("\t", " ") if text.lstrip()[:1] in ("{", "[") else text


def _manifests(bodies: list[Any], file: str) -> list[Manifest]:
    found = []
    for number, body in enumerate(bodies, 1):
        if body is None:
            continue
        if not isinstance(body, Mapping):
            raise BadInputError(f"{file}: document {number} is no mapping but {type(body).__name__}; a manifest is a mapping")
        found += [Manifest(each, file, number) for each in _members(body)]
    return found


def _members(body: Any) -> list[Any]:
    """The resources of a `kind: List`, as kubectl prints them; the body itself where it is none."""
    is_list = body.get("kind") == "List" and body.get("apiVersion") == "v1"
    return entries(body, "items") if is_list else [body]


def dump(body: Any, *, flush_lists: bool = False) -> str:
    """YAML of a mapping, plain or loaded by `load_editable`; with `flush_lists` dashes stand right under their key."""
    stream = io.StringIO()
    editor = _editor()
    if flush_lists:
        editor.indent(mapping=2, sequence=2, offset=0)
    editor.dump(body, stream)
    return stream.getvalue()


def _editor() -> YAML:
    editor = YAML(typ="rt")
    editor.width = WIDTH
    editor.preserve_quotes = True
    editor.indent(mapping=2, sequence=4, offset=2)
    return editor


class _Reader(yaml.CSafeLoader):
    """YAML 1.2's scalars, mappings as `Node`, a key given twice refused."""

    file = ""
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own class attribute


def _node(reader: _Reader, node: yaml.MappingNode) -> Iterator[Node]:
    """Two steps, as PyYAML has it: an anchor within may refer to the mapping itself."""
    made = Node(reader.file, node.start_mark.line + 1)
    yield made
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
            raise yaml.constructor.ConstructorError(None, None, f'found duplicate key "{key.value}"', key.start_mark)
        seen.add(key.value if isinstance(key.value, str) else "")
    reader.flatten_mapping(node)
    for key, value in node.value:
        name = reader.construct_object(key)
        made[name] = reader.construct_object(value, deep=True)
        made.lines[name] = key.start_mark.line + 1


def _whole_number(reader: _Reader, node: yaml.ScalarNode) -> int:
    text = str(reader.construct_scalar(node)).replace("+", "")
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return int(text[2:] if base != 10 else text, base)


_Reader.add_constructor("tag:yaml.org,2002:map", _node)
_Reader.add_constructor("tag:yaml.org,2002:int", _whole_number)
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+0123456789."),
    ("merge", r"<<", "<"),
):
    _Reader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))
