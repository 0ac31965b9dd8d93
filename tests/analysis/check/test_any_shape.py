"""Whatever stands where a mapping, a list or a number belongs: it is named, and never a traceback."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from meshslo.analysis.check import check
from meshslo.analysis.policy.manifest import load
from meshslo.telemetry.errors import BadInputError
from tests.support.manifests import EVERY_MESH
from tests.support.rule_cases import CASES

BODIES: list[Any] = [
    body for text in (*EVERY_MESH.values(), *(case.text for case in CASES)) for body in yaml.safe_load_all(text) if body
]
SCALARS = st.none() | st.booleans() | st.integers(-1, 5) | st.floats(allow_nan=False) | st.sampled_from(["", "*", "soon", "5s"])
STRANGE = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.sampled_from(["a", "mode", "name"]), SCALARS, max_size=2)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value of a document."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def replaced(node: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at a place."""
    if not path:
        return value
    key, *rest = path
    if isinstance(node, dict):
        return {name: replaced(child, tuple(rest), value) if name == key else child for name, child in node.items()}
    return [replaced(child, tuple(rest), value) if number == key else child for number, child in enumerate(node)]


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_value_of_any_shape_is_named_and_no_traceback(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from(BODIES))
    path = data.draw(st.sampled_from(list(places(body))))
    text = yaml.safe_dump(replaced(body, path, data.draw(STRANGE)))
    try:
        found = check({"x.yaml": text, "good.yaml": EVERY_MESH["istio.yaml"]})
    except BadInputError as error:
        pytest.fail(f"the good file was not checked: {error}")
    assert all(item.file in ("x.yaml", "good.yaml") for item in found.items)


NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+")
"""What YAML 1.2 and Kubernetes read as a number; this writer knows YAML 1.1 and leaves some (0E0, 1.5e3) without quotes."""

VALUES = st.recursive(
    SCALARS
    | st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=8).filter(
        lambda text: not NUMBER.fullmatch(text)
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcdef", min_size=1, max_size=4), inner, max_size=3),
    max_leaves=10,
)


@given(body=st.dictionaries(st.text("abcdef", min_size=1, max_size=4), VALUES, min_size=1, max_size=4))
def test_what_is_written_is_read(body: dict[str, Any]) -> None:
    (manifest,) = load(yaml.safe_dump(body), "x.yaml")
    assert manifest.body == body
