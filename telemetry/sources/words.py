"""Columns of words, of which many rows hold few: each distinct word is looked at once, not once a row."""

from collections.abc import Callable

import polars as pl

Meaning = Callable[[pl.Series], pl.Series]
"""What each of some distinct words means, in their order."""


def coded(words: pl.Series) -> pl.Series:
    """`words` as numbers into a list of its own, which goes when the column does."""
    return words if isinstance(words.dtype, pl.Categorical) else words.cast(pl.Categorical(pl.Categories.random()))


def by_word(words: pl.Series, meaning: Meaning) -> pl.Series:
    """The meaning of the word in each row, null for null. Rows of one word share what it means."""
    distinct, places = _apart(words)
    return meaning(distinct).gather(places).alias(words.name)


def respelled(words: pl.Series, spelling: Meaning) -> pl.Series:
    """`words` coded, each as `spelling` has it."""
    column = coded(words)
    distinct, _ = _apart(column)
    return column if spelling(distinct).equals(distinct) else coded(by_word(column, spelling))


def spelled(words: pl.Series) -> pl.Series:
    """`words` as texts; the rows of one word share its letters, so that reading them all again is quick."""
    return by_word(words, lambda distinct: distinct) if isinstance(words.dtype, pl.Categorical) else words


def joined(left: pl.Series, right: pl.Series, separator: str) -> pl.Series:
    """The two words of each row with `separator` between; neither may be null."""
    (first, first_places), (second, second_places) = _apart(left), _apart(right)
    pairs = first_places.cast(pl.UInt64) * len(second) + second_places
    present = pairs.unique().sort()
    names = first.gather(present // len(second)) + separator + second.gather(present % len(second))
    return names.gather(present.search_sorted(pairs))


def _apart(words: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The distinct words, and the place among them of each row's."""
    column = coded(words)
    kind = column.dtype
    if not isinstance(kind, pl.Categorical):
        raise TypeError(f"{words.name} is {kind}, no column of words")
    return kind.categories.to_series(), column.to_physical()
