"""The two sides of a comparison: calls by what they say of themselves, and by when they were made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.schema import WORDS

CONDITIONS: Final = tuple(sorted(WORDS - {"vantage", "outcome", "error_type", "response_flags"}))
"""Columns that a side may be chosen by. How calls ended is what is compared."""


@dataclass(frozen=True, eq=False)
class Side:
    """One side: all calls of its window, and the conditions that its own calls meet."""

    window: pl.LazyFrame
    conditions: Mapping[str, str]
    name: str

    @property
    def holds(self) -> pl.Expr:
        """Whether a call meets the conditions."""
        return pl.all_horizontal(pl.lit(value=True), *(pl.col(name) == value for name, value in self.conditions.items()))

    @property
    def calls(self) -> pl.LazyFrame:
        """The calls that meet the conditions."""
        return self.window.filter(self.holds.fill_null(value=False))


def parse_conditions(text: str) -> dict[str, str]:
    """The conditions in a text such as "version=v2,zone=a"; BadInputError for what is none.

    >>> parse_conditions("version=v2, zone=a")
    {'version': 'v2', 'zone': 'a'}
    """
    parts = [part.partition("=") for part in text.split(",")]
    wrong = [name for name, sign, value in parts if not (name.strip() and sign and value.strip())]
    if wrong:
        raise BadInputError(f'"{text}" is no condition: write KEY=VALUE, such as version=v2 or model=m,zone=a')
    return check_conditions({name.strip(): value.strip() for name, _, value in parts})


def check_conditions(given: Mapping[str, str]) -> dict[str, str]:
    """The conditions, unless one is on a column that sides are not chosen by."""
    wrong = [name for name in given if name not in CONDITIONS]
    if wrong:
        raise BadInputError(f"sides are not chosen by {', '.join(wrong)}; there are {', '.join(CONDITIONS)}")
    return dict(given)


def check_keys(by: Sequence[str], a: Mapping[str, str], b: Mapping[str, str]) -> None:
    """BadInputError where the sides differ in a key that groups are told apart by: then they have none in common."""
    apart = [key for key in by if key in a and key in b and a[key] != b[key]]
    if apart:
        raise BadInputError(f"by {', '.join(apart)} the sides have no group in common: they are told apart by it; leave it out")


def check_apart(a: Side, b: Side, overlap: pl.LazyFrame | None) -> None:
    """BadInputError where a side has no calls, or calls are on both. overlap: calls in both windows; None where none can be."""
    for side in (a, b):
        if side.calls.head(1).collect().is_empty():
            raise BadInputError(f"there are no calls of {side.name}: look with `meshslo report --by` at what there is")
    if overlap is not None:
        both = int(overlap.filter((a.holds & b.holds).fill_null(value=False)).select(pl.len()).collect().item())
        if both:
            raise BadInputError(
                f"{both} calls are of {a.name} and of {b.name}: give conditions or windows that exclude each other"
            )


def traces_apart(a: Side, b: Side) -> tuple[pl.LazyFrame, pl.LazyFrame, int]:
    """All calls of each side's traces but of those that have calls of both, and how many these are."""
    own = [side.calls.select("trace_id").drop_nulls().unique() for side in (a, b)]
    both = own[0].join(own[1], on="trace_id").collect()
    frames = [
        side.window.join(traces, on="trace_id", how="semi").join(both.lazy(), on="trace_id", how="anti")
        for side, traces in zip((a, b), own, strict=True)
    ]
    return frames[0], frames[1], both.height
