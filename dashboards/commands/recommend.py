"""`meshslo recommend`: the settings that the observed calls justify, and the policies that hold them."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from meshslo.dashboards import completing
from meshslo.dashboards.console import DEFAULT_STORE, StoreOption, err, working
from meshslo.dashboards.printing import Form, FormOption, check_target, put
from meshslo.dashboards.sentences import say
from meshslo.dashboards.text import amount_text

from . import Command

if TYPE_CHECKING:
    from rich.console import Console

    from meshslo.analysis.config import Config
    from meshslo.analysis.emit import Emission
    from meshslo.analysis.recommend import Observed, Recommendation, Recommendations
    from meshslo.analysis.recommend.drift import Supports

_Kinds = Annotated[
    list[str] | None,
    typer.Argument(metavar="KIND", help="timeouts, retries, breakers, ...; all by default.", autocompletion=completing.kinds),
]
_Config = Annotated[Path | None, typer.Option("--config", help="Objectives and limits; meshslo.toml here, if there is one.")]
_Current = Annotated[list[Path] | None, typer.Option("--current", help="Manifests in use, files or folders (repeat).")]
_Emit = Annotated[
    str | None,
    typer.Option(
        "--emit", metavar="MESH", help="Write policies of a mesh: istio, envoy, ...", autocompletion=completing.meshes
    ),
]
_Out = Annotated[Path | None, typer.Option("--out", help="Folder that --emit writes into; without it, a file for --output.")]
_As = Annotated[
    Literal["manifest", "kustomize", "diff"],
    typer.Option(
        "--emit-as", help="Whole manifests, a Kustomize component, or a diff against --current (printed without --out)."
    ),
]
_Version = Annotated[
    str | None, typer.Option("--mesh-version", help="Release that policies are for, 1.29.2; else the mesh's newest stable one.")
]
_All = Annotated[
    bool, typer.Option("--all", help="Show what stays, and what is not known yet, as well; JSON and CSV always do.")
]
_Since = Annotated[str | None, typer.Option("--since", help="Learn from calls since: 24h, 7d, or 2026-11-02T09:00:00Z.")]
_Until = Annotated[str | None, typer.Option("--until", help="Learn from calls before, in the same forms.")]


_Check = Annotated[
    Path | None,
    typer.Option("--check", help="Say instead which timeouts of a recommendations.json the calls no longer support."),
]


def recommend(
    kind: _Kinds = None,
    store: StoreOption = DEFAULT_STORE,
    config: _Config = None,
    current: _Current = None,
    emit: _Emit = None,
    emit_as: _As = "manifest",
    mesh_version: _Version = None,
    out: _Out = None,
    check: _Check = None,
    since: _Since = None,
    until: _Until = None,
    every: _All = False,
    output: FormOption = "table",
) -> None:
    """Say which timeouts, retries, breakers and other settings calls justify, how sure that is, and what it costs.

    Each answer is change, explore (a cap hides the tail: set this to see it), keep, not identifiable (so many more
    calls are needed) or not expressible (no field of the mesh does it); the table shows the first two, and counts the others
    unless --all is given. With --emit the values are written as policies,
    on top of the manifests given with --current; --emit-as diff says what changes in those. With --check it exits 1 where
    calls since break an earlier promise.

    Example: meshslo recommend timeouts --store ./meshslo-store --current k8s/ --emit istio --out policies/
    """
    from meshslo.analysis.api import open_store
    from meshslo.analysis.policy.deployed import read_deployed
    from meshslo.analysis.recommend import observe
    from meshslo.dashboards.inputs import moment, read_config, read_manifests

    check_target(emit, out, output, in_files=emit_as != "diff")
    settings, manifests = _for_version(read_config(config), emit, mesh_version), read_manifests(current or [])
    deployed = read_deployed(manifests, model_header=settings.emit.model_header)
    window = (moment(since), moment(until))
    if check is not None:
        with working("looking at calls"):
            observed = observe(open_store(store).scan(*window), settings)
        _judge(check, observed, output, out)
        return
    with working("looking at calls"):
        calls = open_store(store)
        advice = calls.recommend(kind or [], config=settings, deployed=deployed, since=window[0], until=window[1])
    say = show if every or not advice.to_do.items else partial(show_to_do, where="--all shows them all, each with its reason.")
    if emit is None:
        put(advice, say, output, out)
        return
    emission = _emission(advice, emit, emit_as, settings, manifests)
    if out is None:
        typer.echo("".join(document.text for document in emission.documents), nl=False)
        return
    _write(emission, emit, out)
    put(advice.with_answers(emission.unexpressed), say, output)


def _judge(path: Path, observed: "Observed", output: Form, file: Path | None) -> None:
    """Print what the calls say of earlier recommendations; exit 1 where they break a promise."""
    from meshslo.analysis.recommend import parse_recommendations
    from meshslo.analysis.recommend.drift import support
    from meshslo.dashboards.inputs import read_text

    found = support(parse_recommendations(read_text(path), name=str(path)), observed)
    put(found, show_support, output, file)
    if not all(each.supported for each in found.items):
        raise typer.Exit(1)


def show_support(found: "Supports", console: "Console") -> None:
    """Print a sentence for each timeout, then how many hold."""
    for each in found.items:
        say(console, str(each))
    kept = sum(each.supported for each in found.items)
    console.print(f"{kept} of {len(found.items)} timeouts are supported by these calls", highlight=False)
    if found.expired and found.learned is not None:
        console.print(
            f"they were learned on calls until {found.learned.end:%Y-%m-%d %H:%M}Z, to be trusted until "
            f"{found.learned.expires:%Y-%m-%d %H:%M}Z: run recommend again on newer ones",
            highlight=False,
        )


def _for_version(config: "Config", mesh: str | None, release: str | None) -> "Config":
    """The config with the release that policies are for, given as 1.29.2 or, as `check` takes it, istio=1.29.2."""
    from meshslo.analysis.policy.versions import parse_version
    from meshslo.telemetry.errors import BadConfigError

    if release is None:
        return config
    named, _, number = release.rpartition("=")
    if mesh is None or named not in ("", mesh):
        raise BadConfigError(
            f"--mesh-version {release} is no release of what is emitted ({mesh or 'nothing: add --emit MESH'})"
        )
    parse_version(number)
    return config.model_copy(update={"emit": config.emit.model_copy(update={"mesh_version": number})})


def _emission(advice: "Recommendations", mesh: str, form: str, config: "Config", manifests: dict[str, str]) -> "Emission":
    """The policies in a form, and what the mesh cannot express."""
    from meshslo.analysis.emit import emit
    from meshslo.analysis.emit.forms import as_diff, as_kustomize

    emission = emit(mesh, advice, settings=config.emit, manifests=manifests)
    if form == "kustomize":
        return as_kustomize(emission, manifests)
    return as_diff(emission, manifests) if form == "diff" else emission


def _write(emission: "Emission", mesh: str, folder: Path) -> None:
    """Write the policies below a folder."""
    from meshslo.telemetry.errors import BadInputError

    for document in emission.documents:
        path = folder / document.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(document.text, encoding="utf-8")
        except OSError as error:
            raise BadInputError(f"{path} cannot be written: {error}; pass another --out") from None
        err().print(f"wrote {path}", soft_wrap=True, markup=False)
    if not emission.documents:
        why = "all of it holds already, no recommendation has a value, or no manifest leads to a callee"
        err().print(f"nothing to write for {mesh}: {why}")


def show(advice: "Recommendations", console: "Console") -> None:
    """Print what to set as a table, then the reasons, numbered alike."""
    from meshslo.dashboards import tables

    table = tables.table(console)
    for name in ("", "target", "setting", "now", "proposed", "status", "calls"):
        table.add_column(name, no_wrap=name == "setting", justify="right" if name in ("", "calls") else "left")
    for number, item in enumerate(advice.items, 1):
        now = "-" if item.current is None else amount_text(item.current.value, item.current.unit)
        proposed = "-" if item.proposed is None else amount_text(item.proposed.value, item.proposed.unit)
        status, calls = item.status.replace("_", " "), f"{item.evidence.calls:,}"
        target, before, after = map(tables.Name, (str(item.target), now, proposed))
        table.add_row(str(number), target, item.setting, before, after, status, calls)
    tables.show(console, table)
    for number, item in enumerate(advice.items, 1):
        say(console, f"{number:3}. {_place(item)}{item.reason}.", hang=5)
    if advice.learned is not None and advice.items:
        start, end, until = (f"{moment:%Y-%m-%d %H:%M}Z" for moment in vars(advice.learned).values())
        console.print(f"learned on calls from {start} to {end}; check before {until} with --check", highlight=False)


def show_to_do(advice: "Recommendations", console: "Console", *, where: str) -> None:
    """Print what is to be set; what stays, or is not known yet, is counted, and `where` tells who has all of it."""
    show(advice.to_do, console)
    statuses = [item.status for item in advice.items]
    counted = ", ".join(f"{statuses.count(status)} {status.replace('_', ' ')}" for status in sorted(set(statuses)))
    console.print(f"{len(statuses)} answers: {counted}. {where}", highlight=False)


def _place(item: "Recommendation") -> str:
    return f"[{item.code}] " if item.current is None else f"[{item.code}, {item.current.source}] "


COMMAND = Command(recommend)
