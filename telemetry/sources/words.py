"""Columns of words, of which many rows hold few: each distinct word is looked at once, not once a row."""

from collections.abc import Callable, Sequence
from typing import Final

import polars as pl

Meaning = Callable[[pl.Series], pl.Series]
"""What each of some distinct words means, in their order."""


class Coding:
    """How the words of each column of a file are numbered: alike in all its blocks, so that these can be put together."""

    def __init__(self) -> None:
        self._kinds: dict[str, pl.Categorical] = {}

    def __getitem__(self, column: str) -> pl.Categorical:
        """The type that codes the words of `column`."""
        if column not in self._kinds:
            self._kinds[column] = pl.Categorical(pl.Categories.random())
        return self._kinds[column]

    def renew(self) -> None:
        """Begin anew with columns of very many words, whose lists would be looked through for every block."""
        self._kinds = {name: kind for name, kind in self._kinds.items() if len(kind.categories.to_series()) <= _MAX_SHARED}


_MAX_SHARED: Final = 2**16


def coded(words: pl.Series, kind: pl.Categorical | None = None) -> pl.Series:
    """`words` as numbers into the list of `kind`, else into one of its own, which goes when the column does."""
    if isinstance(words.dtype, pl.Categorical):
        return words
    return words.cast(kind or pl.Categorical(pl.Categories.random()))


def constant(name: str, word: str, rows: int, kind: pl.Categorical) -> pl.Series:
    """A column that says `word` in each of `rows`."""
    return pl.Series(name, [word], dtype=kind).new_from_index(0, rows)


def by_word(words: pl.Series, meaning: Meaning) -> pl.Series:
    """The meaning of the word in each row, null for null. Rows of one word share what it means."""
    distinct, places = apart(words)
    return meaning(distinct).gather(places).alias(words.name)


def of_texts(texts: pl.Series, meaning: Meaning) -> pl.Series:
    """The meaning of each of `texts`, coded or not."""
    return by_word(texts, meaning) if isinstance(texts.dtype, pl.Categorical) else meaning(texts)


def respelled(words: pl.Series, spelling: Meaning) -> pl.Series:
    """Coded `words`, each as `spelling` has it."""
    distinct, _ = apart(words)
    meant = spelling(distinct)
    return words if meant.equals(distinct) else by_word(words, lambda _: coded(meant, _kind(words)))


def spelled(words: pl.Series) -> pl.Series:
    """`words` as texts; the rows of one word share its letters, so that reading them all again is quick."""
    return of_texts(words, lambda distinct: distinct)


def joined(left: pl.Series, right: pl.Series, separator: str, kind: pl.Categorical) -> pl.Series:
    """The two coded words of each row with `separator` between; neither may be null."""
    (first, first_places), (second, second_places) = apart(left), apart(right)
    pairs = first_places.cast(pl.UInt64) * len(second) + second_places
    present = pairs.unique().sort()
    names = first.gather(present // len(second)) + separator + second.gather(present % len(second))
    return coded(names, kind).gather(present.search_sorted(pairs))


def together(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of `frames` end to end, null where one lacks a column; words that are not coded alike become texts."""
    kinds: dict[str, set[pl.DataType]] = {}
    for frame in frames:
        for name, kind in frame.schema.items():
            kinds.setdefault(name, set()).add(kind)
    mixed = {name for name, found in kinds.items() if len(found) > 1}
    alike = [frame.with_columns(spelled(column) for column in frame if column.name in mixed) for frame in frames]
    return pl.concat(alike, how="diagonal")


def apart(words: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The words of a coded column, and the place among them of each row's."""
    return _kind(words).categories.to_series(), words.to_physical()


def _kind(words: pl.Series) -> pl.Categorical:
    kind = words.dtype
    if not isinstance(kind, pl.Categorical):
        raise TypeError(f"{words.name} is {kind}, no coded column of words")
    return kind
