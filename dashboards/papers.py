"""Consoles that write markup: what a command prints for a terminal becomes Markdown or HTML, the same words and tables."""

import io
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any, Final, TypeVar

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from .sentences import Sentence
from .tables import Name

_A = TypeVar("_A")

_CODE: Final = re.compile(r"(`[^`]*`)")
_MARKUP: Final = re.compile(
    r"""\\ | \* | ~~                      # anywhere
      | (?<![^\W_])_ | _(?![^\W_])        # not within a word, as in total_timeout
      | \](?=[(:\[])                      # a link's
      | <(?=[A-Za-z/!?])                  # a tag's
      | &(?=\#?\w+;)                      # an entity's
    """,
    re.VERBOSE,
)
"""What Markdown (CommonMark) would take for its own."""

_AT_START: Final = re.compile(r"\A(?=[>#+=-])")
"""What it would take for its own at the start of a line."""

_UNIT: Final = re.compile(r"(?<=\d) (?=(?:%|µs|ms|s|min|h)(?:[^\w/]|$))")
"""Between a number and its unit no line of a narrow column ends."""


class Paper(Console, ABC):
    """A console that keeps what is printed, in a markup of its own."""

    def __init__(self) -> None:
        super().__init__(file=io.StringIO(), width=100)
        self._parts: list[str] = []

    @property
    def text(self) -> str:
        """All that was printed."""
        return "".join(self._parts)

    def print(self, *objects: Any, **options: Any) -> None:
        """Keep tables as tables and anything else as a line each; the options are a terminal's, but for `markup`."""
        for each in objects:
            if isinstance(each, Table):
                self._parts.append(self.grid(each))
            else:
                self._parts.extend(map(self.paragraph, _plain(each, is_markup=options.get("markup") is not False).splitlines()))

    def rule(self, title: Any = "", **_options: Any) -> None:
        """Keep what comes next as a heading."""
        self._parts.append(self.heading(_plain(title, is_markup=True)))

    @abstractmethod
    def heading(self, text: str) -> str:
        """A heading in the markup."""

    @abstractmethod
    def paragraph(self, text: str) -> str:
        """A line of text in the markup."""

    @abstractmethod
    def grid(self, filled: Table) -> str:
        """A table in the markup."""


class Markdown(Paper):
    """Paragraphs and tables of GitHub's Markdown."""

    def heading(self, text: str) -> str:
        """A heading below those of the page it goes into."""
        return f"### {_escaped(text)}\n\n"

    def paragraph(self, text: str) -> str:
        r"""A paragraph; what stands between backticks stays code.

        >>> print(Markdown().paragraph(">= : `a_b` of __other__, gateway>generator"), end="")
        \>= : `a_b` of \_\_other\_\_, gateway>generator
        """
        return _AT_START.sub(r"\\", _escaped(text.strip())) + "\n\n" if text.strip() else ""

    def grid(self, filled: Table) -> str:
        """A pipe table; lines of a cell are kept apart by `<br>`."""
        title = [f"**{_escaped(str(filled.title))}**\n"] if filled.title else []
        rule = ["---:" if _is_right(column) else "---" for column in filled.columns]
        rows = (
            [_escaped(cell).replace("|", r"\|").replace("\n", "<br>") for cell in row]
            for row in (_heads(filled), *_rows(filled))
        )
        head, *body = (f"| {' | '.join(cells)} |" for cells in rows)
        return "\n".join([*title, head, f"| {' | '.join(rule)} |", *body]) + "\n\n"


class Html(Paper):
    """Paragraphs and tables of HTML, without a style of their own."""

    def heading(self, text: str) -> str:
        """A heading below those of the page it goes into."""
        return f"<h3>{escape(text, quote=False)}</h3>\n"

    def paragraph(self, text: str) -> str:
        """A paragraph; what stands between backticks is code.

        >>> print(Html().paragraph("p99 < 3 s, see `doctor`"), end="")
        <p>p99 &lt; 3 s, see <code>doctor</code></p>
        """
        words = _CODE.sub(lambda code: f"<code>{code[1][1:-1]}</code>", escape(text.strip(), quote=False))
        return f"<p>{words}</p>\n" if text.strip() else ""

    def grid(self, filled: Table) -> str:
        """A table whose figures stand to the right; lines of a cell are kept apart by `<br>`."""
        sides = [' style="text-align:right"' if _is_right(column) else ' style="text-align:left"' for column in filled.columns]
        caption = f"<caption>{escape(str(filled.title))}</caption>" if filled.title else ""
        head = _html_row(_heads(filled), sides, "th")
        body = "\n".join(_html_row(row, sides, "td") for row in _rows(filled))
        return f"<table>{caption}\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"


def on_paper(paper: Paper, answer: _A, show: Callable[[_A, Console], None]) -> str:
    """What `show` prints of the answer, in the markup of `paper`."""
    show(answer, paper)
    return paper.text


def _plain(printed: object, *, is_markup: bool) -> str:
    if isinstance(printed, Name | Sentence):
        return printed.text
    if isinstance(printed, Text):
        return printed.plain
    return Text.from_markup(str(printed)).plain if is_markup else str(printed)


def _heads(filled: Table) -> list[str]:
    return [_plain(column.header, is_markup=True) for column in filled.columns]


def _rows(filled: Table) -> Iterator[Sequence[str]]:
    return zip(*([_plain(cell, is_markup=True) for cell in column.cells] for column in filled.columns), strict=True)


def _is_right(column: Column) -> bool:
    return column.justify == "right"


def _html_row(cells: Sequence[str], sides: Sequence[str], tag: str) -> str:
    inside = (
        f"<{tag}{side}>{_UNIT.sub('&nbsp;', escape(cell, quote=False)).replace(chr(10), '<br>')}</{tag}>"
        for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{''.join(inside)}</tr>"


def _escaped(text: str) -> str:
    parts = _CODE.split(text)
    return "".join(part if _CODE.fullmatch(part) else _MARKUP.sub(lambda found: "\\" + found[0], part) for part in parts)
