"""Subcommands of `meshslo`: one file each, ending in `COMMAND = Command(function)`.

The function is a typer command whose name, flags and help come from its signature and docstring (the docstring ends in an
example). Modules import heavy libraries inside the function, so that `meshslo --help` stays under 0.3 s.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer


@dataclass(frozen=True)
class Command:
    """A subcommand: the function typer runs, and its name where that differs from the function's."""

    function: Callable[..., Any]
    name: str | None = None

    def register(self, app: typer.Typer) -> None:
        """Add the command to `app`."""
        whole, first = self.help()
        app.command(self.name or self.function.__name__.rstrip("_"), help=whole, short_help=first)(self.function)

    def help(self) -> tuple[str, str]:
        """The docstring, each paragraph a line: a terminal narrower than the source breaks lines anew; and its first.

        Given as short help the first is shown whole in the list of commands, in a pipe too.
        """
        paragraphs = [" ".join(paragraph.split()) for paragraph in (self.function.__doc__ or "").split("\n\n")]
        return "\n\n".join(paragraphs), paragraphs[0]
