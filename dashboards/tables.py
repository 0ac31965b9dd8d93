"""Tables that every command prints alike: ruled on a terminal, plain ASCII in a pipe, and no name torn within a word."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    import polars as pl

PLAIN: Final = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
"""A line under the heads and nothing else, of characters that any program that reads a pipe has."""

_PIECE: Final = re.compile(r"/?[^>/]*>?")
"""What of a word may end a line: up to a `>`, or up to the next `/`."""


def table(console: Console, *, title: str | None = None) -> Table:
    """An empty table in the one style there is, for `show`."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD if console.is_terminal else PLAIN,
        show_edge=console.is_terminal,
        pad_edge=False,
        padding=(0, 2 if console.is_terminal else 1, 0, 0),
    )


def of_frame(console: Console, frame: "pl.DataFrame") -> Table:
    """The rows of a frame, its numbers to the right with their thousands apart."""
    filled = table(console)
    for name, kind in frame.schema.items():
        filled.add_column(name, justify="right" if kind.is_numeric() else "left")
    for row in frame.iter_rows():
        filled.add_row(*(f"{cell:,}" if isinstance(cell, int) else Name("-" if cell is None else str(cell)) for cell in row))
    return filled


def heading(console: Console, text: str) -> None:
    """What comes next: over a rule on a terminal, over plain ASCII in a pipe."""
    console.print()
    console.rule(text, align="left", characters="─" if console.is_terminal else "-")


def show(console: Console, filled: Table) -> None:
    """Print a table. Where names need more room than there is its lines are longer, so that nothing of it is lost."""
    between = 1 + filled.padding[1]
    room = console.width - between * (len(filled.columns) - 1) - 2 * filled.show_edge
    for column, width in zip(filled.columns, _fitted(filled.columns, room), strict=True):
        column.min_width = column.max_width = width
    console.print(filled, crop=False)


def _fitted(columns: Sequence[Column], room: int) -> list[int]:
    """Widths of the columns that fit into `room`, the widest made narrower first, none narrower than its longest word."""
    widths = [max((_longest(cell) for cell in _cells(column)), default=0) for column in columns]
    least = [
        width if column.no_wrap else max((_shortest(cell) for cell in _cells(column)), default=0)
        for column, width in zip(columns, widths, strict=True)
    ]
    while sum(widths) > room and (places := [place for place in range(len(widths)) if widths[place] > least[place]]):
        widths[max(places, key=widths.__getitem__)] -= 1
    return widths


def _cells(column: Column) -> Iterator[RenderableType]:
    yield column.header
    yield from column.cells


def _longest(cell: RenderableType) -> int:
    text = cell.text if isinstance(cell, Name) else Text.from_markup(str(cell)).plain
    return max(map(cell_len, text.splitlines()), default=0)


def _shortest(cell: RenderableType) -> int:
    return cell.shortest if isinstance(cell, Name) else max(map(cell_len, Text.from_markup(str(cell)).plain.split()), default=0)


@dataclass(frozen=True)
class Name:
    """A cell of names, one a line, that breaks after a space, `>` or `/` where it must, never within a word."""

    text: str

    @property
    def shortest(self) -> int:
        """Width of the longest piece that is not broken."""
        return max((len(piece) for word in self.text.split() for piece in _PIECE.findall(word)), default=0)

    def broken(self, width: int) -> Iterator[str]:
        """The lines, each as long as fits into `width` characters.

        >>> list(Name("gateway>generator").broken(12)), list(Name("gateway>generator").broken(17))
        (['gateway>', 'generator'], ['gateway>generator'])
        """
        for line in self.text.splitlines():
            words = (
                word if len(word) <= width else "\n".join(_packed(_PIECE.findall(word), "", width)) for word in line.split()
            )
            yield from _packed("\n".join(words).splitlines(), " ", width)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(self.shortest, max((len(line) for line in self.text.splitlines()), default=0))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text("\n".join(self.broken(options.max_width)), no_wrap=True, overflow="ignore")


def _packed(pieces: Iterable[str], between: str, width: int) -> Iterator[str]:
    """The pieces, as many to a line as fit."""
    held = ""
    for piece in pieces:
        longer = held + between + piece if held else piece
        if len(longer) > width and held:
            yield held
        held = piece if len(longer) > width else longer
    yield held
