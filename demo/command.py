"""`meshslo demo`: the main job on a real chain, before and after."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from meshslo.dashboards.commands import Command
from meshslo.telemetry.errors import MeshsloError

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
    if scenario is not None:
        from .scenarios import scenario_of

        if not scenario_of(scenario).play(out / scenario, quick=quick):
            raise typer.Exit(1)
        return
    from dataclasses import replace

    from .flow import run_demo
    from .settings import QUICK, DemoSettings

    if not run_demo(out, replace(QUICK if quick else DemoSettings(), seed=seed)):
        raise typer.Exit(1)


COMMAND = Command(demo)
