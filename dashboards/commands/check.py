"""`meshslo check`: what existing manifests do wrong."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from meshslo.dashboards.printing import FORM_HELP, FileOption, Form, put, write

from . import Command

if TYPE_CHECKING:
    from rich.console import Console

    from meshslo.analysis.check import Findings
    from meshslo.analysis.config import Config
    from meshslo.analysis.recommend import Observed


class FailOn(StrEnum):
    """The least severity that makes the command exit 1."""

    info = "info"
    warning = "warning"
    error = "error"


_Paths = Annotated[list[Path], typer.Argument(metavar="PATH", help="Manifests, files or folders.", show_default=False)]
_Store = Annotated[
    str | None,
    typer.Option("--store", envvar="MESHSLO_STORE", help="Calls that sharpen the findings; without them they are latent."),
]
_Config = Annotated[Path | None, typer.Option("--config", help="Objectives; meshslo.toml here, if there is one.")]
_Since = Annotated[str | None, typer.Option("--since", help="Calls since: 24h, 7d, or 2026-11-02T09:00:00Z.")]
_Fail = Annotated[FailOn, typer.Option("--fail-on", help="Exit 1 on findings of this severity or worse.")]
_Form = Annotated[Literal[Form, "sarif"], typer.Option("--output", "-o", help=f"{FORM_HELP} SARIF for code hosts.")]


def check(
    path: _Paths,
    store: _Store = None,
    config: _Config = None,
    since: _Since = None,
    fail_on: _Fail = FailOn.warning,
    output: _Form = "table",
    out: FileOption = None,
) -> None:
    """Find timeouts and retries in mesh manifests that cut streams or multiply calls.

    Each finding says why it hurts and what to do instead, at its file and line. With a store, findings that calls show are
    confirmed. Silence one with `# meshslo:ignore MS211 reason` on its line or the line before.

    Example: meshslo check k8s/ --store ./meshslo-store --fail-on error --output sarif
    """
    from meshslo.analysis.check import check as find
    from meshslo.dashboards.inputs import read_config, read_manifests

    settings = read_config(config)
    observed = None if store is None else _observed(store, settings, since)
    found = find(read_manifests(path), observed, model_header=settings.emit.model_header)
    if output == "sarif":
        write(found.to_sarif() + "\n", out)
    else:
        put(found, show, output, out)
    if found.at_least(fail_on.value):
        raise typer.Exit(1)


def _observed(store: str, config: "Config", since: str | None) -> "Observed":
    from meshslo.analysis.api import open_store
    from meshslo.analysis.recommend import observe
    from meshslo.dashboards.inputs import moment

    return observe(open_store(store).scan(moment(since), None), config)


def show(found: "Findings", console: "Console") -> None:
    """Print each finding: place, severity, code, what it is; then what to do instead."""
    for item in found.items:
        proof = ", confirmed" if item.confirmed else ""
        console.print(f"{item.place}: {item.severity}{proof} [{item.code}] {item.message}.", markup=False, highlight=False)
        console.print(f"    instead: {item.instead}", markup=False, highlight=False)
    counts = [
        f"{sum(item.severity == severity for item in found.items)} {severity}" for severity in ("error", "warning", "info")
    ]
    total = f"{len(found.items)} finding{'' if len(found.items) == 1 else 's'}: {', '.join(counts)}"
    console.print(total if found.items else "no findings")


COMMAND = Command(check)
