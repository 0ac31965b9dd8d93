"""The `meshslo` command: one file a subcommand in `commands/`, each the translation of one library verb of the same name."""

import sys
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
        build()()
    except MeshsloError as error:
        complain(str(error))
        sys.exit(2)


def build() -> "typer.Typer":
    """The typer application with every command found in `commands/` and in the entry points `meshslo.commands`."""
    import typer

    from meshslo.telemetry.discovery import members

    from . import commands

    app = typer.Typer(
        name="meshslo",
        help="Where the time goes in an inference chain on a service mesh, and the timeouts and retry budgets it justifies.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for command in members(commands, "COMMAND"):
        assert isinstance(command, commands.Command), f"{command!r} is no Command"  # noqa: S101
        command.register(app)
    return app


def _options() -> None:
    """Hold the place of options common to all commands; makes typer keep subcommands even where there is one."""
