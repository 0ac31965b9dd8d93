"""`meshslo resilience`: calls in progress and what each callee bears, broken and slow pods, calls between zones."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshslo.dashboards.console import DEFAULT_STORE, StoreOption, working
from meshslo.dashboards.printing import FileOption, FormOption, put
from meshslo.dashboards.sentences import say

from . import Command
from .doctor import SinceOption, UntilOption

if TYPE_CHECKING:
    from rich.console import Console

    from meshslo.analysis.resilience import Resilience

_Config = Annotated[
    Path | None, typer.Option("--config", help="Client proxies of each hop; meshslo.toml here, if there is one.")
]


def resilience(
    store: StoreOption = DEFAULT_STORE,
    config: _Config = None,
    since: SinceOption = None,
    until: UntilOption = None,
    output: FormOption = "table",
    out: FileOption = None,
) -> None:
    """Show how many calls are in progress and how many each callee bears, which pods are broken or slow, calls by zone.

    Pods that would have been out are those that the ejection of `recommend outliers` would have taken, replayed with Envoy's
    algorithm. From metrics alone loads are known, by Little's law. What to set, `recommend breakers outliers localities` says.

    Example: meshslo resilience --store ./meshslo-store --since 24h
    """
    from meshslo.analysis.api import open_store
    from meshslo.dashboards.inputs import moment, read_config

    with working("looking at loads, pods and zones"):
        answer = open_store(store).resilience(config=read_config(config), since=moment(since), until=moment(until))
    put(answer, show, output, out)


def show(answer: "Resilience", console: "Console") -> None:
    """Print loads, pods and zones as tables, then what could not be told."""
    from meshslo.dashboards import tables
    from meshslo.dashboards.resilience import load_table, pod_table, zone_table

    for frame in (load_table(answer), pod_table(answer), zone_table(answer)):
        if not frame.is_empty():
            tables.show(console, tables.of_frame(console, frame))
    for note in answer.notes:
        say(console, f"{note}.")


COMMAND = Command(resilience)
