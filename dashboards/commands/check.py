"""`meshslo check`: what existing manifests do wrong."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from meshslo.dashboards.console import err
from meshslo.dashboards.printing import FORM_HELP, FileOption, Form, put, write
from meshslo.dashboards.sentences import say

from . import Command

if TYPE_CHECKING:
    from rich.console import Console

    from meshslo.analysis.check import Asked, Findings
    from meshslo.analysis.config import Config
    from meshslo.analysis.recommend import Observed


class FailOn(StrEnum):
    """The least severity that makes the command exit 1."""

    info = "info"
    warning = "warning"
    error = "error"


_Paths = Annotated[list[Path] | None, typer.Argument(metavar="PATH", help="Manifests, files or folders.", show_default=False)]
_Store = Annotated[
    str | None,
    typer.Option("--store", envvar="MESHSLO_STORE", help="Calls that sharpen the findings; without them they are latent."),
]
_Config = Annotated[Path | None, typer.Option("--config", help="Objectives; meshslo.toml here, if there is one.")]
_Since = Annotated[str | None, typer.Option("--since", help="Calls since: 24h, 7d, or 2026-11-02T09:00:00Z.")]
_Fail = Annotated[FailOn, typer.Option("--fail-on", help="Exit 1 on findings of this severity or worse.")]
_Form = Annotated[Literal[Form, "sarif"], typer.Option("--output", "-o", help=f"{FORM_HELP} SARIF for code hosts.")]
_Versions = Annotated[
    list[str] | None,
    typer.Option(
        "--mesh-version", metavar="MESH=VERSION", help="Release in use, istio=1.30.3; else the newest stable (repeat)."
    ),
]
_Baseline = Annotated[Path | None, typer.Option("--baseline", help="Findings to keep quiet about: a file of --write-baseline.")]
_Write = Annotated[Path | None, typer.Option("--write-baseline", help="Write what was found to this file, and exit 0.")]
_Explain = Annotated[str | None, typer.Option("--explain", metavar="CODE", help="Print the page of a rule, and check nothing.")]


def check(
    path: _Paths = None,
    store: _Store = None,
    config: _Config = None,
    since: _Since = None,
    fail_on: _Fail = FailOn.warning,
    mesh_version: _Versions = None,
    baseline: _Baseline = None,
    write_baseline: _Write = None,
    explain: _Explain = None,
    output: _Form = "table",
    out: FileOption = None,
) -> None:
    """Find what in mesh manifests cuts streams, multiplies calls, or lets in callers that nobody meant.

    Each finding says why it hurts and what to do instead, at its file and line. With a store, findings that calls show are
    confirmed. Silence one with `# meshslo:ignore MS211 reason` on its line or the line before, with the annotation
    meshslo/ignore, or in meshslo.toml; --baseline keeps quiet about all that was found before.

    Example: meshslo check k8s/ --store ./meshslo-store --mesh-version istio=1.30.3 --fail-on error --output sarif
    """
    from meshslo.analysis.check import check as find
    from meshslo.analysis.check import to_baseline
    from meshslo.dashboards.inputs import read_config, read_manifests
    from meshslo.telemetry.errors import BadConfigError

    if explain is not None:
        typer.echo(_page(explain))
        return
    if not path:
        raise BadConfigError("nothing to check: pass manifests, files or folders, or --explain CODE for the page of a rule")
    settings = read_config(config)
    observed = None if store is None else _observed(store, settings, since)
    # A baseline that is written anew holds what the old one did as far as it is still there.
    asked = _asked(settings, mesh_version or [], None if write_baseline else baseline)
    found = find(read_manifests(path), observed, asked)
    if write_baseline is not None:
        _write_baseline(write_baseline, to_baseline(found.items))
        return
    if output == "sarif":
        write(found.to_sarif() + "\n", out)
    else:
        put(found, show, output, out)
    if found.need_calls:
        say(err(), f"not looked for, as only calls show it (pass --store): {', '.join(found.need_calls)}")
    if found.at_least(fail_on.value):
        raise typer.Exit(1)


def _observed(store: str, config: "Config", since: str | None) -> "Observed":
    from meshslo.analysis.api import open_store
    from meshslo.analysis.recommend import observe
    from meshslo.dashboards.inputs import moment

    return observe(open_store(store).scan(moment(since), None), config)


def _asked(config: "Config", versions: list[str], baseline: Path | None) -> "Asked":
    from meshslo.analysis.check import Asked, parse_baseline
    from meshslo.analysis.policy.versions import named_versions
    from meshslo.dashboards.inputs import read_text

    known = frozenset[str]() if baseline is None else parse_baseline(read_text(baseline), str(baseline))
    asked = named_versions([*(f"{mesh}={release}" for mesh, release in config.check.versions.items()), *versions])
    return Asked(config.emit.model_header, asked, config.check.ignore, known)


def _page(code: str) -> str:
    from meshslo.analysis.check import page, rules
    from meshslo.telemetry.errors import BadConfigError

    every = {rule.code: rule for rule in rules()}
    if code not in every:
        raise BadConfigError(f'no rule has the code "{code}"; there are {", ".join(every)}')
    return page(every[code])


def _write_baseline(path: Path, text: str) -> None:
    from meshslo.telemetry.errors import BadInputError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"{path} cannot be written: {error}; pass another --write-baseline") from None
    err().print(f"wrote {path}", soft_wrap=True, markup=False)


def show(found: "Findings", console: "Console") -> None:
    """Print each finding: place, severity, code, what it is; then what to do instead, and what was not shown."""
    for item in found.items:
        proof = ", confirmed" if item.confirmed else ""
        # Place, severity and code begin a line and nothing else does: people search and sort by them.
        say(console, f"{item.place}: {item.severity}{proof} [{item.code}] {item.message}.")
        say(console, f"    instead: {item.instead}", hang=6)
    counts = ", ".join(f"{number} {severity}" for severity, number in found.counts().items())
    total = f"{len(found.items)} finding{'' if len(found.items) == 1 else 's'}: {counts}"
    console.print(total if found.items else "no findings")
    for number, what in ((found.silenced, "silenced with a reason"), (found.known, "in the baseline")):
        if number:
            console.print(f"{number} {what}", highlight=False)
    if found.passed_over:
        kinds = ", ".join(f"{number} {kind}" for kind, number in found.passed_over.items())
        say(console, f"not looked at: {kinds}")


COMMAND = Command(check)
