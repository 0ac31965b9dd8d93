"""The page of every key of `meshslo.toml`, from the models that read it: `make config-docs` writes it as docs/config.md."""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .config import Config
from .config_text import table_of

_NAMES: Final = {"hops": '"CALLER>CALLEE"', "models": '"MODEL"'}
"""What stands for the names of the tables of a kind; NAME elsewhere."""
_UNITS: Final[Mapping[str, str]] = {
    "_ratio": "share",
    "confidence": "share",
    "target": "share",
    "amplification": "calls a request",
    "_per_s": "a second",
    "_s": "s",
    "_price": "money a million tokens",
    "_per_call": "money a call",
    "zones": "money a call",
    "places": "times",
    "_tokens": "tokens",
    "routes": "names",
    "tenants": "names",
    "models": "names",
    "_proxies": "proxies",
    "port": "port",
}
"""How the key of a number ends -> its unit."""
_WORDS: Final = {"number": "number", "integer": "whole number", "boolean": "true or false", "string": "text"}
_BOUNDS: Final = {
    "exclusiveMinimum": "above",
    "minimum": "at least",
    "exclusiveMaximum": "below",
    "maximum": "at most",
    "minLength": "of a length of at least",
}

_HEAD: Final = """# Every key of meshslo.toml

Commands read the file that `--config meshslo.toml` names; programs pass its text to `meshslo.analysis.config.parse_config`.
Tables and keys may be left out, but for the required keys of a table that is there. An unknown key is refused with the nearest
known one, a value out of range and two that contradict each other with file, line and reason.
"""


@dataclass(frozen=True)
class Key:
    """A key of a table; `kind` and `default` as they are written in TOML, `unit` only of numbers."""

    name: str
    kind: str
    default: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """A table of the file, with its header in brackets."""

    header: str
    about: str
    keys: tuple[Key, ...]


def page() -> str:
    """A section for each table, a row for each of its keys."""
    return _HEAD + "".join(map(_section, tables()))


def tables(model: type[BaseModel] = Config, path: str = "", *, several: bool = False) -> Iterator[Table]:
    """The table that `model` reads, if it has a header, and those inside it, in the order of the models."""
    inner = {name: kind for name, field in model.model_fields.items() if (kind := table_of(field.annotation))}
    keys = tuple(_keys(model, inner))
    if path:
        yield Table(f"[[{path}]]" if several else f"[{path}]", inspect.cleandoc(model.__doc__ or ""), keys)
    for name, kind in inner.items():
        of = get_origin(model.model_fields[name].annotation)
        named = f"{name}.{_NAMES.get(name, 'NAME')}" if of is dict else name
        yield from tables(kind, f"{path}.{named}" if path else named, several=of is tuple)
    if not path:
        yield from (Table(f"[{key.name}.NAME]", key.meaning, ()) for key in keys)


def _section(table: Table) -> str:
    rows = [f"| `{key.name}` | {key.kind} | {key.default} | {key.unit} | {key.meaning} |" for key in table.keys]
    head = ["| key | type | default | unit | meaning |", "|---|---|---|---|---|"] if rows else []
    return "\n".join(["", f"## `{table.header}`", "", table.about, *([""] if rows else []), *head, *rows, ""])


def _keys(model: type[BaseModel], inner: Mapping[str, object]) -> Iterator[Key]:
    """The keys of `model` that hold no table of known keys."""
    written, meanings = model.model_json_schema()["properties"], _meanings(model)
    for name, field in model.model_fields.items():
        if name not in inner:
            kind = _kind(written[name])
            unit = next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), "") if "number" in kind else ""
            yield Key(name, kind, _default(field), unit, meanings.get(name, ""))


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """Key -> the text under it in the source, in one line."""
    (made,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(made, ast.ClassDef)  # noqa: S101 - the source of a class
    found = {}
    for key, text in zip(made.body, made.body[1:], strict=False):
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name) and isinstance(text, ast.Expr):
            found[key.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return found


def _kind(written: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if "anyOf" in written:
        return " or ".join(_kind(one) for one in written["anyOf"] if one.get("type") != "null")
    if "enum" in written:
        return ", ".join(f"`{json.dumps(value)}`" for value in written["enum"])
    if "prefixItems" in written:
        return f"list of {len(written['prefixItems'])}: {', '.join(map(_kind, written['prefixItems']))}"
    if written.get("type") == "array":
        return f"list of {_kind(written['items'])}"
    if written.get("type") == "object":
        values = _values(written)
        return "table" if values is None else f"table of NAME = {_kind(values)}"
    bounds = [f"{word} {written[bound]:g}" for bound, word in _BOUNDS.items() if bound in written]
    pattern = [f"like `{written['pattern']}`".replace("|", "\\|")] if "pattern" in written else []
    return " ".join([_WORDS[written["type"]], ", ".join([*bounds, *pattern])]).strip()


def _values(written: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of an object's values, whose names may have to match a pattern; None where they may be anything."""
    of_names = written.get("patternProperties", {})
    found = next(iter(of_names.values()), written.get("additionalProperties"))
    return found if isinstance(found, Mapping) else None


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    return f"`{json.dumps(value)}`" if value not in ((), {}) else "none"
