"""Tables that every command prints alike: ruled on a terminal, plain ASCII in a pipe, and no name torn within a word."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Table
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
        padding=(0, 2, 0, 0),
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
    for column in filled.columns:
        shortest = max((cell.shortest for cell in column.cells if isinstance(cell, Name)), default=0)
        column.min_width = max(shortest, column.min_width or 0) or None
    console.print(filled, crop=False)


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
