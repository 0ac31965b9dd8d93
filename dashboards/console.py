"""What every command shares: where to print, which output forms there are, how an error reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import IO, Annotated, Any, Final

import typer
from rich.console import Console

WIDTH_IN_PIPE = 100
_PLAIN: Final[dict[str, Any]] = {"no_color": True, "highlight": False, "emoji": False}
"""No picture characters either: `a.yaml:100: warning` is a place, and no hundred points."""

StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="MESHSLO_STORE",
        help="Directory of the store, as `meshslo collect` and `meshslo import` fill it.",
        show_default=True,
    ),
]
DEFAULT_STORE = "./meshslo-store"


class Output(StrEnum):
    """Forms a result can be printed in."""

    table = "table"
    json = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="A table to read, or JSON for a program.")]


def out(file: IO[str] | None = None) -> Console:
    """Console on standard output or `file`: coloured on a terminal, plain and `WIDTH_IN_PIPE` wide in a pipe or a file."""
    console = Console(file=file, emoji=False)
    return console if console.is_terminal else Console(file=file, width=WIDTH_IN_PIPE, **_PLAIN)


def err() -> Console:
    """Console on standard error: progress and complaints go here, so that a pipe gets results only."""
    console = Console(stderr=True, highlight=False, emoji=False)
    return console if console.is_terminal else Console(stderr=True, width=WIDTH_IN_PIPE, **_PLAIN)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say on a terminal what takes its time, and for how long it has, until the block ends; a pipe gets nothing of it."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = err()
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        shown.add_task(what, total=None)
        yield


def complain(sentence: str) -> None:
    """Print `Error: sentence` on standard error, unwrapped, so that a name in it can be searched for."""
    err().print(f"[bold red]Error:[/] {_plain(sentence)}", soft_wrap=True)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
