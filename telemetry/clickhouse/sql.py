"""Pieces of ClickHouse SQL. Texts are never null here: '' stands for "not set", which is smaller and faster than Nullable.

Only our own tables and checked names are written into statements; what a user gives (times, words) is bound as a parameter.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from meshslo.telemetry.errors import BadConfigError

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_WORD: Final = re.compile(r"\b[A-Za-z_]\w*")
_ITEM: Final = re.compile(r"(?<![A-Za-z0-9_'])_([a-z]\w*)")


def literal(text: str) -> str:
    r"""`text` as a string literal.

    >>> print(literal("it's a \\d"))
    'it\'s a \\d'
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(name: str) -> str:
    """`name` as it may stand in a statement, in backquotes; BadConfigError where it is no plain name."""
    if not _IDENTIFIER.fullmatch(name):
        raise BadConfigError(f"{name!r} is no name of a database, table or cluster: letters, digits and _ only")
    return f"`{name}`"


def listed(words: Iterable[str]) -> str:
    """The right side of IN.

    >>> listed(["a", "b"])
    "('a', 'b')"
    """
    return "(" + ", ".join(literal(word) for word in words) + ")"


def first_set(*texts: str) -> str:
    """The first of the texts that is set, as `coalesce` is for nulls.

    >>> first_set("a", "b")
    "if(a != '', a, b)"
    """
    *others, last = texts
    for text in reversed(others):
        last = f"if({text} != '', {text}, {last})"
    return last


def cases(*pairs: tuple[str, str], otherwise: str) -> str:
    """The value of the first condition that holds.

    >>> cases(("a = 1", "'one'"), otherwise="''")
    "multiIf(a = 1, 'one', '')"
    """
    inside = ", ".join(f"{condition}, {value}" for condition, value in pairs)
    return f"multiIf({inside}, {otherwise})" if pairs else otherwise


@dataclass(frozen=True)
class Steps:
    """A chain of SELECTs, each over the one before it: expressions by the name they get.

    `clauses` of a step follow its FROM; where there is no FROM in them, the step reads the one before it.
    """

    steps: "tuple[Step, ...]"

    def then(self, columns: Mapping[str, str], clauses: str = "") -> "Steps":
        """One more step, of these columns only."""
        return Steps((*self.steps, Step(columns, clauses, whole=True)))

    def apart(self, columns: Mapping[str, str], clauses: str = "") -> "Steps":
        """A chain of its own that begins with this step over the present one as a view.

        ClickHouse analyses what is in a view by itself. In one query the time it takes grows by a multiple with each
        further group-by.
        """
        return Steps((Step(columns, f"FROM view({self.sql()}) {clauses}", whole=True),))

    def extended(self, columns: Mapping[str, str]) -> "Steps":
        """With more columns, each an expression over those that there are and those before it.

        A step for each level by which columns depend on each other: an alias used in the same SELECT would be written out
        in full wherever it stands.
        """
        levels: dict[str, int] = {}
        for name, expression in columns.items():
            levels[name] = 1 + max((levels[word] for word in _used(expression) & set(levels)), default=0)
        by_level = [
            {name: columns[name] for name in columns if levels[name] == level} for level in sorted(set(levels.values()))
        ]
        return Steps((*self.steps, *(Step(new, "", whole=False) for new in by_level)))

    def sql(self) -> str:
        """The statement: common table expressions and a last SELECT, each with the columns that are still needed."""
        selects = [step.select(f"step_{place}") for place, step in enumerate(self._pruned())]
        named = ",\n".join(f"step_{place} AS ({select})" for place, select in enumerate(selects[:-1], 1))
        return f"WITH {named}\n{selects[-1]}" if named else selects[-1]

    def _pruned(self) -> "list[Step]":
        """The steps with the columns that a later one uses, handed on from where they were made."""
        there: list[set[str]] = []
        for step in self.steps:
            handed = set() if step.whole or not there else there[-1]
            there.append(handed | set(step.columns))
        needed = set(self.steps[-1].columns)
        pruned = []
        for step, names in zip(reversed(self.steps), reversed(there), strict=True):
            kept = {name: expression for name, expression in step.columns.items() if name in needed}
            passed = set() if step.whole else needed & names - set(step.columns)
            pruned.append(Step({**{name: name for name in sorted(passed)}, **kept}, step.clauses, whole=True))
            needed = passed | _used(" ".join([*kept.values(), step.clauses]))
        return pruned[::-1]


@dataclass(frozen=True)
class Step:
    """One SELECT of a chain: its columns and what follows them; `whole` where it hands on nothing else."""

    columns: Mapping[str, str]
    clauses: str
    whole: bool

    def select(self, before: str) -> str:
        """The text, reading from `before` unless the clauses say where from."""
        columns = ", ".join(
            name if name == expression else f"{expression} AS {name}" for name, expression in self.columns.items()
        )
        source = "" if self.clauses.startswith("FROM") else f"FROM {before} "
        return f"SELECT {columns} {source}{self.clauses}".rstrip()


def _used(text: str) -> set[str]:
    return {word.removeprefix("_") for word in _WORD.findall(text)}


def each(body: str) -> str:
    """An array made item by item: `_name` is the item of the array `name`, a bare `name` is the whole array.

    >>> each("_kind = 2 AND NOT _proxy")
    'arrayMap((_kind, _proxy) -> _kind = 2 AND NOT _proxy, kind, proxy)'
    """
    return _over("arrayMap", body)


def where(values: str, condition: str) -> str:
    """The items of the array `values` for which `condition` holds, written as for `each`.

    >>> where("row", "_kind = 2")
    'arrayFilter((_row, _kind) -> _kind = 2, row, kind)'
    """
    return _over("arrayFilter", condition, first=values)


def _over(function: str, body: str, first: str | None = None) -> str:
    names = list(dict.fromkeys(([first] if first else []) + _ITEM.findall(body)))
    if not names:
        raise ValueError(f"{body} names no item")
    return f"{function}(({', '.join('_' + name for name in names)}) -> {body}, {', '.join(names)})"


_DOUBLINGS: Final = 5
"""Pointer doublings: ancestors up to 32 spans away are found."""


def nearest(name: str, parent: str, stop: str, number: str = "number") -> dict[str, str]:
    """Columns that end in the array `name`: the number of each item's nearest proper ancestor that `stop` marks; 0 is none.

    Numbers begin at 1, and item 0 of an array is its type's default, so that "none" leads to "none".
    """
    reached = f"{name}_above[p]"
    return {
        f"{name}_above": _followed(f"arrayMap((s, p, n) -> if(s, n, p), {stop}, {parent}, {number})", _DOUBLINGS),
        name: f"arrayMap(p -> if({stop}[{reached}], {reached}, 0), {parent})",
    }


def tops(name: str, parent: str, number: str = "number", doublings: int = _DOUBLINGS) -> dict[str, str]:
    """The column `name`: an array of the number of the item at the top of each item's chain, itself where it is that."""
    return {name: _followed(f"arrayMap((p, n) -> if(p > 0, p, n), {parent}, {number})", doublings)}


def _followed(next_item: str, doublings: int) -> str:
    """Where each item of the array `next_item` leads after 2 ** `doublings` steps.

    A fold in one SELECT: the time to analyse a statement grows with the square of the number of SELECTs in each other.
    """
    return f"arrayFold((there, _) -> arrayMap(at -> there[at], there), range({doublings}), {next_item})"


def parents(prefix: str, inner: str) -> dict[str, str]:
    """Columns that end in `<prefix>parent`, the number of each item's parent, from `<prefix>id` and `<prefix>parent_id`.

    Both sides of a call may share one id (Zipkin): `inner` marks the callee's, which is the child of the other.
    """
    first = f"if(indexOf({prefix}id_inner, p) > 0, indexOf({prefix}id_inner, p), indexOf({prefix}id_outer, p))"
    twin = f"indexOf({prefix}id_outer, i)"
    return {
        f"{prefix}id_inner": f"arrayMap((i, inner) -> if(inner, i, ''), {prefix}id, {inner})",
        f"{prefix}id_outer": f"arrayMap((i, inner) -> if(inner, '', i), {prefix}id, {inner})",
        f"{prefix}above_id": f"arrayMap(p -> if(p = '', 0, {first}), {prefix}parent_id)",
        f"{prefix}parent": f"arrayMap((i, inner, above, n) -> if(inner AND {twin} > 0, {twin}, if(above = n, 0, above)), "
        f"{prefix}id, {inner}, {prefix}above_id, {prefix}number)",
    }


def marked(rows: str) -> str:
    """An array that marks the items whose number is in the array `rows`."""
    return f"arrayMap(n -> has({rows}, n), number)"
