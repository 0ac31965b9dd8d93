"""`meshslo demo`: the main job on a real chain, before and after."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import typer

from meshslo.dashboards.commands import Command
from meshslo.dashboards.console import err
from meshslo.telemetry.errors import MeshsloError

INTERRUPTED: Final = 130
"""What a shell gives a program that Ctrl-C ended: 128 and the number of the signal."""

NEEDS = ("cryptography", "envoy", "fastapi", "httpx", "plotly")


def demo(
    out: Annotated[Path, typer.Option(help="Directory for the store, the recommendations, the policies and the logs.")] = Path(
        "demo-out"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="The shortened form: under a minute, promising 5 %, not 1 %.")] = False,
    seed: Annotated[int, typer.Option(help="Another seed is another load.")] = 7,
    scenario: Annotated[
        str | None,
        typer.Option(
            help="Instead, one thing that goes wrong: overloaded-generator, broken-replica, slow-replica, bad-canary, "
            "zone-loss, provider-outage, rogue-caller, unapproved-endpoint."
        ),
    ] = None,
) -> None:
    """Run a chain of services behind real Envoys, and let meshslo mend its mesh.

    Gateway, retriever, reranker and generator run on loopback with the mistakes people make: a 3 s timeout on streams, blanket
    retries at two layers. The same load runs three times: as it is, under the first recommendation (which explores what the
    cap hides), under the second (which tightens). Takes five minutes; exit 1 where what users and spans count disagrees.

    With --scenario one server fleet runs before and after what meshslo makes of its trouble, in 90 s at most, below OUT/NAME;
    exit 1 where the second run is not better as meant.

    Example: meshslo demo --scenario broken-replica
    """
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise MeshsloError(f"the demo needs {', '.join(missing)}: pip install 'meshslo[demo]'")
    try:
        is_well = _chain(out, seed, quick=quick) if scenario is None else _scenario(scenario, out, quick=quick)
    except KeyboardInterrupt:
        err().print(f"Interrupted: every process of the demo has ended; {out} holds what it wrote so far.", soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    if not is_well:
        raise typer.Exit(1)


def _chain(out: Path, seed: int, *, quick: bool) -> bool:
    from dataclasses import replace

    from .flow import run_demo
    from .settings import QUICK, DemoSettings

    return run_demo(out, replace(QUICK if quick else DemoSettings(), seed=seed))


def _scenario(name: str, out: Path, *, quick: bool) -> bool:
    from .scenarios import scenario_of

    return scenario_of(name).play(out / name, quick=quick)


COMMAND = Command(demo)
