"""The `meshslo` command: one file a subcommand in `commands/`, each the translation of one library verb of the same name."""

import sys
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import typer

NEEDED: Final = ("typer", "polars", "pyarrow", "scipy", "pydantic", "grpc")
"""Packages that tell the extra `analysis`: one of them alone is in many an environment for other reasons."""


def main() -> None:
    """Run the command line; exit 0 done, 1 findings or objectives missed, 2 usage or bad input."""
    if any(find_spec(name) is None for name in NEEDED):
        sys.stderr.write("meshslo's command line needs more than the instrumentation: pip install 'meshslo[analysis]'\n")
        sys.exit(2)
    from meshslo.telemetry.errors import MeshsloError

    from .console import complain

    try:
        build(boxes=sys.stdout.isatty() and sys.stderr.isatty())()
    except MeshsloError as error:
        complain(str(error))
        sys.exit(2)


def build(*, boxes: bool = False) -> "typer.Typer":
    """The typer application with every command found in `commands/` and in the entry points `meshslo.commands`.

    With `boxes` help and complaints have colours and boxes, which a terminal shows and a pipe or a log does not want.
    """
    import typer

    from meshslo.telemetry.discovery import members

    from . import commands
    from .console import WIDTH_IN_PIPE

    app = typer.Typer(
        name="meshslo",
        help="Where the time goes in an inference chain on a service mesh, and the timeouts and retry budgets it justifies.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich" if boxes else None,
        context_settings={"help_option_names": ["-h", "--help"]} | ({} if boxes else {"terminal_width": WIDTH_IN_PIPE}),
    )
    _common_options(app)
    for command in members(commands, "COMMAND"):
        assert isinstance(command, commands.Command), f"{command!r} is no Command"  # noqa: S101
        command.register(app)
    return app


def _common_options(app: "typer.Typer") -> None:
    """What holds for `meshslo` itself; with it typer keeps subcommands even where there is one."""
    import typer

    def tell_version(asked: bool) -> None:
        if asked:
            typer.echo(f"meshslo {version('meshslo')}")
            raise typer.Exit

    shown = typer.Option(False, "--version", help="Show the version and exit.", is_eager=True, callback=tell_version)

    def options(version: bool = shown) -> None:
        pass

    app.callback()(options)
