"""`meshslo canary`: whether a candidate may have more traffic, asked as often as one likes; and the routing for it."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshslo.dashboards.console import DEFAULT_STORE, StoreOption, err, working
from meshslo.dashboards.printing import FormOption, check_target, put
from meshslo.dashboards.sentences import say

from . import Command

if TYPE_CHECKING:
    from rich.console import Console

    from meshslo.analysis.canary import Arms, Canary

_Baseline = Annotated[str, typer.Option("--baseline", help="The version in use, or COLUMN=VALUE, such as model=llama-70b.")]
_Candidate = Annotated[str, typer.Option("--candidate", help="The version to judge, in the same form.")]
_Hop = Annotated[str | None, typer.Option("--hop", metavar="CALLER>CALLEE", help="Calls of this hop only.")]
_Weight = Annotated[
    int | None,
    typer.Option("--weight", min=1, max=99, help="The candidate's weight now, in per cent; else counted from calls."),
]
_Failed = Annotated[float, typer.Option("--failed-margin", help="Share of failed calls that it may have more.")]
_Slow = Annotated[
    float, typer.Option("--slow-margin", help="Share of calls beyond the baseline's quantile that it may have more.")
]
_Quantile = Annotated[float, typer.Option("--quantile", help="What is slow: beyond this quantile of the baseline.")]
_Since = Annotated[str | None, typer.Option("--since", help="When the rollout began: 24h, or 2026-11-02T09:00:00Z.")]
_Config = Annotated[Path | None, typer.Option("--config", help="Namespace, host and port; meshslo.toml here, if there is one.")]
_Current = Annotated[list[Path] | None, typer.Option("--current", help="Manifests in use, files or folders (repeat).")]
_Emit = Annotated[
    str | None,
    typer.Option("--emit", metavar="MESH", help="Write the routing: istio, gateway-api, linkerd, envoy-gateway, envoy."),
]
_Out = Annotated[Path | None, typer.Option("--out", help="Folder that --emit writes into; without it, a file for --output.")]


def canary(
    baseline: _Baseline,
    candidate: _Candidate,
    store: StoreOption = DEFAULT_STORE,
    hop: _Hop = None,
    weight: _Weight = None,
    failed_margin: _Failed = 0.01,
    slow_margin: _Slow = 0.05,
    quantile: _Quantile = 0.95,
    since: _Since = None,
    config: _Config = None,
    current: _Current = None,
    emit: _Emit = None,
    out: _Out = None,
    output: FormOption = "table",
) -> None:
    """Judge a candidate against its baseline: promote, hold (so many more calls) or roll back, and the next weight.

    Failed calls, late first tokens, long gaps, long calls and slow tokens are compared among calls of one hop, route, model
    and size of prompt. The limits hold at every look at once: ask as often as you like, 95 % is for all of it together.
    Exit 1 where it is to be rolled back. With --emit the routing of the next weight is written: calls with the header
    x-canary: true go to the candidate, of all others its weight.

    Example: meshslo canary --baseline v1 --candidate v2 --hop 'gateway>generator' --emit istio --out policies/
    """
    from meshslo.analysis.api import open_store
    from meshslo.analysis.canary import CanarySettings, parse_arms
    from meshslo.dashboards.inputs import moment
    from meshslo.telemetry.errors import BadConfigError

    check_target(emit, out, output)
    if not 0.0 < quantile < 1.0 or min(failed_margin, slow_margin) <= 0.0:
        raise BadConfigError(f"--quantile {quantile:g} must lie between 0 and 1, and margins above 0; pass --quantile 0.95")
    settings = CanarySettings(failed_margin=failed_margin, slow_margin=slow_margin, quantile=quantile)
    arms = parse_arms(baseline, candidate, hop)
    with working("comparing calls"):
        found = open_store(store).canary(arms, weight=weight, settings=settings, since=moment(since))
    if emit is not None and out is not None:
        _write(found, arms, (emit, out, config, current or []))
    put(found, partial(show, arms=arms, quantile=quantile), output, None if emit else out)
    if found.verdict == "roll_back":
        raise typer.Exit(1)


def _write(found: "Canary", arms: "Arms", wanted: tuple[str, Path, Path | None, list[Path]]) -> None:
    """Write the routing of the next weight of each callee."""
    from meshslo.analysis.canary import Rollout, route_documents
    from meshslo.dashboards.inputs import read_config, read_manifests
    from meshslo.telemetry.errors import BadInputError

    mesh, folder, config, current = wanted
    settings, manifests = read_config(config).emit, read_manifests(current)
    for callee in found.callees:
        rollout = Rollout(callee, arms.baseline, arms.candidate, found.next_weight)
        for document in route_documents(mesh, rollout, settings, manifests):
            path = folder / document.path
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(document.text, encoding="utf-8")
            except OSError as error:
                raise BadInputError(f"{path} cannot be written: {error}; pass another --out") from None
            err().print(f"wrote {path}", soft_wrap=True, markup=False)


def show(found: "Canary", console: "Console", *, arms: "Arms", quantile: float) -> None:
    """Print the measures as a table, then the verdict."""
    from meshslo.dashboards import tables
    from meshslo.dashboards.resilience import verdict_table

    rows = verdict_table(found, quantile)
    named = {name: name.replace("baseline", arms.baseline).replace("candidate", arms.candidate) for name in rows.columns}
    tables.show(console, tables.of_frame(console, rows.rename(named)))
    calls = f"{found.baseline_calls:,} calls of {arms.baseline}, {found.candidate_calls:,} of {arms.candidate}"
    said = found.verdict.replace("_", " ")
    then = f"next weight {found.next_weight} %" if found.verdict != "hold" else f"stay at {found.weight} %"
    say(console, f"{said.upper()}, {then}: {found.reason}. ({calls}.)")


COMMAND = Command(canary)
