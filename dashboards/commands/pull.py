"""`meshslo pull`: telemetry from a server that already has it. One subcommand a kind of server, with its own flags."""

import dataclasses
import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import MarkupMode, TyperCommand, TyperGroup

from meshslo.dashboards.console import DEFAULT_STORE, Output, OutputOption, StoreOption, err, out

from . import Command

if TYPE_CHECKING:
    from meshslo.telemetry.pull import Ask, Puller
    from meshslo.telemetry.pull.http import Server
    from meshslo.telemetry.pull.run import Pulled

_Url = Annotated[str, typer.Argument(metavar="URL", help="Base address of its API, such as http://localhost:9090.")]
_Since = Annotated[str, typer.Option("--since", help="Beginning: 90m, 24h, 7d before now, or 2026-11-02T09:00:00Z.")]
_Until = Annotated[str, typer.Option("--until", help="End, in the same forms.")]
_Header = Annotated[list[str], typer.Option("--header", metavar="NAME=VALUE", help="A request header (repeat).")]
_Bearer = Annotated[Path | None, typer.Option("--bearer-file", help="File that holds a bearer token.")]
_Basic = Annotated[Path | None, typer.Option("--basic-file", help="File that holds user:password.")]
_Ca = Annotated[
    Path | None, typer.Option("--ca-file", help="Certificate of the authority that the server's is signed by, PEM.")
]
_Org = Annotated[str | None, typer.Option("--org-id", help="X-Scope-OrgID of a multi-tenant server.")]
_Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait for an answer.")]

_COMMON: dict[str, tuple[Any, Any]] = {
    "url": (_Url, inspect.Parameter.empty),
    "store": (StoreOption, DEFAULT_STORE),
    "since": (_Since, "24h"),
    "until": (_Until, "now"),
    "header": (_Header, []),
    "bearer_file": (_Bearer, None),
    "basic_file": (_Basic, None),
    "ca_file": (_Ca, None),
    "org_id": (_Org, None),
    "timeout_s": (_Timeout, 30.0),
    "output": (OutputOption, Output.table),
}


class Pullers(TyperGroup):
    """The kinds of servers there are; found only when `pull` is asked for, since they import much."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is click's
        """Their names."""
        return sorted(_pullers())

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:  # noqa: ARG002 - the signature is click's
        """The subcommand of one."""
        puller = _pullers().get(cmd_name)
        return None if puller is None else _subcommand(puller, self.rich_markup_mode)


class PullCommand(Command):
    """A group of subcommands in place of one function."""

    def register(self, app: typer.Typer) -> None:
        """Add the group to `app`."""
        whole, first = self.help()
        group = typer.Typer(cls=Pullers, no_args_is_help=True, help=whole, short_help=first)
        group.callback()(self.function)
        app.add_typer(group, name="pull")


def pull() -> None:
    """Bring telemetry into the store from a server that already has it; a second pull asks only for what is new.

    Example: meshslo pull prometheus http://localhost:9090 --store ./meshslo-store --since 7d
    """


def _pullers() -> "dict[str, Puller]":
    from meshslo.telemetry import pull as package
    from meshslo.telemetry.discovery import members

    found = [cast("Puller", member) for member in members(package, "PULLER")]
    return {puller.name: puller for puller in found}


def _subcommand(puller: "Puller", markup: MarkupMode) -> TyperCommand:
    """A command with the common flags and one for each field of the puller's settings, whose help looks as its group's."""
    own = {field.name: (_flag(field), _default(field)) for field in dataclasses.fields(puller.settings)}
    app = typer.Typer(add_completion=False, rich_markup_mode=markup)
    about = _about(puller)
    example = f"Example: meshslo pull {puller.name} http://HOST:PORT --store ./meshslo-store --since 24h"
    app.command(puller.name, help=f"{about}\n\n{example}", short_help=about)(_with_signature(puller, {**_COMMON, **own}))
    return cast("TyperCommand", typer.main.get_command(app))


def _flag(field: "dataclasses.Field[Any]") -> Any:
    """The option of a setting; a tuple is a flag to repeat."""
    name = "--" + field.name.removesuffix("_s").replace("_", "-")
    kind = list[str] if isinstance(_default(field), list) else type(field.default)
    return Annotated[kind, typer.Option(name, help=field.metadata["help"])]


def _default(field: "dataclasses.Field[Any]") -> Any:
    return list(field.default) if isinstance(field.default, tuple) else field.default


def _about(puller: "Puller") -> str:
    return " ".join((inspect.getdoc(inspect.getmodule(puller.read)) or "").split("\n\n")[0].split())


def _with_signature(puller: "Puller", parameters: dict[str, tuple[Any, Any]]) -> Callable[..., None]:
    """A function that typer reads these parameters from."""

    def command(**given: Any) -> None:
        _run(puller, given)

    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # how inspect, and so typer, is told
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in parameters.items()
        ]
    )
    command.__annotations__ = {name: annotation for name, (annotation, _) in parameters.items()}
    return command


def _run(puller: "Puller", given: dict[str, Any]) -> None:
    from meshslo.dashboards.moments import parse_moment
    from meshslo.telemetry.errors import BadConfigError
    from meshslo.telemetry.pull import Ask

    now = datetime.now(UTC)
    since, until = parse_moment(given["since"], now), parse_moment(given["until"], now)
    if since >= until:
        raise BadConfigError(f"--since {given['since']} is not before --until {given['until']}; give an earlier beginning")
    own = {field.name: given[field.name] for field in dataclasses.fields(puller.settings)}
    settings = puller.settings(**{name: tuple(value) if isinstance(value, list) else value for name, value in own.items()})
    ask = Ask(_server(given), since, until, settings)
    pulled = _with_progress(puller, ask, given["store"], now)
    _print(ask, pulled, given["store"], given["output"])


def _server(given: dict[str, Any]) -> "Server":
    from meshslo.telemetry.errors import BadConfigError
    from meshslo.telemetry.pull.http import Access, Limits, Server

    headers = {}
    for pair in given["header"]:
        name, found, value = pair.partition("=")
        if not found or not name.strip():
            raise BadConfigError(f"--header {name} has no value; write it as NAME=VALUE")
        headers[name.strip()] = value
    access = Access(
        headers, _secret(given["bearer_file"]), _secret(given["basic_file"]), ca_file=given["ca_file"], org_id=given["org_id"]
    )
    return Server(given["url"], access, Limits(timeout_s=given["timeout_s"]))


def _secret(path: Path | None) -> str | None:
    """What a file of credentials holds; they are no flags, since others can read a command line."""
    from meshslo.telemetry.errors import BadConfigError

    if path is None:
        return None
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfigError(f"credentials in {path} cannot be read: {error}") from error


def _with_progress(puller: "Puller", ask: "Ask", store: str, now: datetime) -> "Pulled":
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from meshslo.telemetry.pull import Batch
    from meshslo.telemetry.pull.run import pull as carry_out

    console = err()
    bar = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"), TimeRemainingColumn())
    with Progress(*bar, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"{puller.name}: {ask.server.url}", total=(ask.until - ask.since).total_seconds())

        def seen(batch: Batch) -> None:
            progress.update(task, completed=(batch.until - ask.since).total_seconds())

        return carry_out(puller, ask, store, now=now, seen=seen)


def _print(ask: "Ask", pulled: "Pulled", store: str, output: Output) -> None:
    if output is Output.json:
        window = {"start": ask.since.isoformat(), "end": ask.until.isoformat()}
        result = {"schema": "meshslo.pull/1", "url": ask.server.url, "window": window, **dataclasses.asdict(pulled)}
        out().print_json(data=result)
        return
    for note in pulled.notes:
        err().print(f"Note: {note}", markup=False, soft_wrap=True)
    brought = [f"{count} {what}" for count, what in ((pulled.calls, "calls"), (pulled.series, "metric rows")) if count]
    known = f", {pulled.duplicates} rows were there already" if pulled.duplicates else ""
    skipped = f"; {timedelta(seconds=round(pulled.skipped_s))} had been pulled before" if pulled.skipped_s else ""
    out().print(f"{' and '.join(brought) or 'nothing new'} into {store}{known}{skipped}", markup=False, soft_wrap=True)


COMMAND = PullCommand(pull)
