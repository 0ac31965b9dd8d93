"""The forms that answers are printed in: one place for all commands."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, Protocol, TypeVar, assert_never

import typer

from meshslo.telemetry.errors import BadConfigError, BadInputError

from .console import err, out

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

Form = Literal["table", "json", "csv", "parquet", "markdown"]

FORM_HELP: Final = "A table to read; JSON, CSV or Parquet for a program; Markdown for a page."

FormOption = Annotated[Form, typer.Option("--output", "-o", help=FORM_HELP)]
FileOption = Annotated[
    Path | None, typer.Option("--out", help="Write it to this file instead of printing it.", show_default=False, dir_okay=False)
]


class Printable(Protocol):
    """What can be printed in every form."""

    @property
    def frame(self) -> "pl.DataFrame":
        """The answer as rows of plain values."""
        ...

    def to_json(self) -> str:
        """The answer as JSON."""
        ...


_P = TypeVar("_P", bound=Printable)
Show = Callable[[_P, "Console"], None]


def check_target(emit: str | None, out: Path | None, form: Form, *, in_files: bool = True) -> None:
    """BadConfigError where a command that also emits, `in_files` or not, is not told clearly what goes to `--out`."""
    if (emit is not None and out is None and in_files) or (emit is None and out is not None and form == "table"):
        raise BadConfigError(
            "--emit MESH and --out DIR go together: the first says what to write, the second where; "
            "--out FILE alone takes --output json, csv, parquet or markdown"
        )


def put(answer: _P, show: Show[_P], form: Form, file: Path | None = None) -> None:
    """Print the answer in a form, or write it to `file`.

    `show` prints it as text and tables. BadInputError for Parquet on a terminal, and for a file that cannot be written.
    """
    if form == "parquet" and file is None and out().is_terminal:
        raise BadInputError("Parquet is binary and no terminal shows it: add --out FILE, or send it through a pipe")
    if form == "table" and file is None:
        show(answer, out())
    else:
        write(_content(answer, show, form), file)


def write(content: str | bytes, file: Path | None) -> None:
    """Print a text as it is, or write it to `file`, which is said on standard error; BadInputError where that fails."""
    if file is None:
        typer.echo(content, nl=False)
        return
    try:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise BadInputError(f"{file} cannot be written: {error}; pass another --out") from None
    err().print(f"wrote {file}", soft_wrap=True, markup=False)


def _content(answer: _P, show: Show[_P], form: Form) -> str | bytes:
    from .papers import Markdown, on_paper

    match form:
        case "table":
            return plain(answer, show)
        case "json":
            return answer.to_json() + "\n"
        case "csv":
            return answer.frame.write_csv()
        case "parquet":
            return _parquet(answer.frame)
        case "markdown":
            return on_paper(Markdown(), answer, show)
        case never:
            assert_never(never)


def _parquet(frame: "pl.DataFrame") -> bytes:
    target = io.BytesIO()
    frame.write_parquet(target)
    return target.getvalue()


def plain(answer: _P, show: Show[_P]) -> str:
    """What a pipe gets of it."""
    console = out(io.StringIO())
    show(answer, console)
    assert isinstance(console.file, io.StringIO)  # noqa: S101 - just given
    return console.file.getvalue()
