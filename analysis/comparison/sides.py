"""The two sides of a comparison: calls by what they say of themselves, and by when they were made."""

from collections.abc import Mapping
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

    @property
    def traces(self) -> pl.LazyFrame:
        """All calls of the traces in which one meets them."""
        if not self.conditions:
            return self.window
        own = self.calls.select("trace_id").unique()
        return self.window.join(own, on="trace_id", how="semi")


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


def check_apart(a: Side, b: Side) -> None:
    """BadInputError where a side has no calls, or calls are on both."""
    for side in (a, b):
        if side.calls.head(1).collect().is_empty():
            raise BadInputError(f"there are no calls of {side.name}: look with `meshslo report --by` at what there is")
    if a.window is b.window:
        both = int(a.window.filter((a.holds & b.holds).fill_null(value=False)).select(pl.len()).collect().item())
        if both:
            raise BadInputError(
                f"{both} calls are of {a.name} and of {b.name}: give conditions or windows that exclude each other"
            )
