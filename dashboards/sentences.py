"""Sentences that commands print: where one needs several lines, those after the first stand further in."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions
from rich.text import Text


@dataclass(frozen=True)
class Sentence:
    """A text whose first line stands where it is written and the rest `hang` characters in; no word of it is torn."""

    text: str
    hang: int = 2

    def lines(self, width: int) -> list[str]:
        """The text in lines of `width` characters; a word that is longer, a path say, is kept whole on a longer line.

        >>> Sentence("a.yaml:7: error [MS113] it cuts calls").lines(26)
        ['a.yaml:7: error [MS113] it', '  cuts calls']
        """
        return textwrap.wrap(
            self.text.lstrip(),
            width,
            initial_indent=" " * (len(self.text) - len(self.text.lstrip())),
            subsequent_indent=" " * self.hang,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text("\n".join(self.lines(options.max_width)), no_wrap=True, overflow="ignore")


def say(console: Console, text: str, hang: int = 2) -> None:
    """Print a sentence as it is: what looks like markup in it is none."""
    console.print(Sentence(text, hang), crop=False)
