"""A problem with a TOML text in a sentence: the file, the line, the key, and the nearest known one."""

import difflib
import re
import types
from collections import Counter
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel


def sentence(problem: Any, text: str, name: str, top: type[BaseModel]) -> str:
    """What pydantic's `problem` with a TOML text of file `name` is, and on which line; `top` is the model of the whole file."""
    path = tuple(str(part) for part in problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not path:
        return f"{name}: {message}"
    line = line_of(text, path)
    where = f"{name}:{line}" if line else name
    if problem["type"] == "extra_forbidden":
        return f"{where}: {_unknown(path, top)}"
    given = "" if isinstance(problem["input"], dict) else f" = {problem['input']!r}"
    return f"{where}: {_dotted(path)}{given}: {message}"


def _unknown(path: tuple[str, ...], top: type[BaseModel]) -> str:
    known = sorted(_known_keys(path[:-1], top))
    near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
    hint = f'did you mean "{near[0]}"?' if near else f"known keys are {', '.join(known)}"
    table = f"[{_dotted(path[:-1])}]" if path[:-1] else "the top level"
    return f'unknown key "{path[-1]}" in {table}; {hint}'


def _known_keys(path: tuple[str, ...], top: type[BaseModel]) -> set[str]:
    table: type[BaseModel] | None = top
    for part in path:
        field = table.model_fields.get(part) if table else None
        table = table_of(field.annotation) if field else table
    return set(table.model_fields) if table else set()


def table_of(annotation: Any) -> type[BaseModel] | None:
    """The table class an annotation holds: itself, or the values of a dict or an array of tables."""
    if get_origin(annotation) in (dict, tuple, types.UnionType, Literal):
        return next((kind for kind in get_args(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(part if re.fullmatch(r"[\w-]+", part) else f'"{part}"' for part in path)


def line_of(text: str, path: tuple[str, ...]) -> int | None:
    r"""The line, from 1, where TOML `text` sets the key at `path`; its table's line where the key is not found.

    >>> line_of("[chain]\namplification = 1.2", ("chain", "amplification"))
    2
    """
    table: tuple[str, ...] = ()
    best: int | None = None
    arrays: Counter[tuple[str, ...]] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[+)\s*(.+?)\s*\]+", line):
            table = _keys(header[2])
            if header[1] == "[[":
                arrays[table] += 1
                table = (*table, str(arrays[table] - 1))
        elif key := re.match(r"\s*((?:[\w.-]+|\"[^\"]*\"|'[^']*'|\s*\.\s*)+?)\s*=", line):
            here = (*table, *_keys(key[1]))
            if here == path or path[: len(here)] == here:
                return number
        if table and table == path[: len(table)]:
            best = best or number
    return best


def _keys(dotted: str) -> tuple[str, ...]:
    return tuple(bare or quoted for quoted, bare in re.findall(r"[\"']([^\"']*)[\"']|([\w-]+)", dotted))
