"""Mappings of a manifest that know their lines, and careful ways into what people may have written otherwise."""

from collections.abc import Mapping
from typing import Any

from meshslo.telemetry.errors import BadInputError


class Node(dict[Any, Any]):
    """A mapping that knows its own line and its keys', from 1, and its file."""

    __slots__ = ("file", "line", "lines")

    def __init__(self, file: str, line: int) -> None:
        super().__init__()
        self.file = file
        self.line = line
        self.lines: dict[Any, int] = {}


def line_suffix(node: Any, key: str) -> str:
    """The line of `key` as ":17", of the mapping itself where it has no such key; nothing where the mapping was not loaded."""
    if isinstance(node, Node):
        return f":{node.lines.get(key, node.line)}"
    position = getattr(node, "lc", None)
    if position is None:
        return ""
    # What was set after loading has no line of its own.
    line = position.key(key)[0] if key in (position.data or ()) else position.line
    return f":{line + 1}"


def child(node: Any, *keys: str) -> Any:
    """The mapping at a path of keys, empty where some part is absent; BadInputError where a part is something else.

    >>> child({"spec": {"trafficPolicy": {"a": 1}}}, "spec", "trafficPolicy"), child({}, "spec")
    ({'a': 1}, {})
    """
    for key in keys:
        found = node.get(key)
        if found is None:
            # An absent part has the place of what it would be part of.
            return Node(node.file, node.lines.get(key, node.line)) if isinstance(node, Node) else {}
        if not isinstance(found, Mapping):
            raise BadInputError(f"{_named(node, key)} is no mapping but {type(found).__name__}")
        node = found
    return node


def entries(node: Any, *keys: str) -> list[Any]:
    """The mappings in the list at a path of keys, none where it is absent; BadInputError where it is something else.

    >>> entries({"spec": {"http": [{"name": "a"}]}}, "spec", "http"), entries({}, "http")
    ([{'name': 'a'}], [])
    """
    holder = child(node, *keys[:-1])
    found = holder.get(keys[-1])
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise BadInputError(f"{_named(holder, keys[-1])} is no list of mappings")
    return found


def scalars(node: Any, key: str) -> list[str]:
    """The texts in the list at `key`, none where it is absent; BadInputError where it is something else.

    >>> scalars({"hosts": ["a", "b"]}, "hosts"), scalars({}, "hosts")
    (['a', 'b'], [])
    """
    found = node.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or any(isinstance(each, Mapping | list) for each in found):
        raise BadInputError(f"{_named(node, key)} is no list of names")
    return [str(each) for each in found]


def _named(node: Any, key: str) -> str:
    return f"{getattr(node, 'file', '')}{line_suffix(node, key)}: {key}"


def first_label(host: str) -> str:
    """The service in a host name or an Istio cluster name.

    >>> first_label("generator.rag.svc.cluster.local"), first_label("outbound|80||generator.rag.svc.cluster.local")
    ('generator', 'generator')
    """
    return host.rpartition("|")[2].partition(".")[0]
