"""`meshslo security`: who calls whom, with what identity, over what connection; hosts outside; what is exposed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshslo.dashboards.console import DEFAULT_STORE, StoreOption, working
from meshslo.dashboards.printing import FileOption, FormOption, put
from meshslo.dashboards.sentences import say

from . import Command
from .doctor import FailOnOption, SinceOption, UntilOption

if TYPE_CHECKING:
    from rich.console import Console

    from meshslo.analysis.security import Security

_Config = Annotated[
    Path | None,
    typer.Option("--config", help="The boundary and the approved hosts; meshslo.toml here, if there is one."),
]


def security(
    store: StoreOption = DEFAULT_STORE,
    config: _Config = None,
    since: SinceOption = None,
    until: UntilOption = None,
    fail_on: FailOnOption = "error",
    output: FormOption = "table",
    out: FileOption = None,
) -> None:
    """Show who calls whom, encrypted or not, and proved to be whom; which hosts outside; and what of it is exposed.

    Findings: paths from tenant-facing to internal services without a certificate, identities that both sides share, tenants'
    names that anybody can write, hosts that nobody approved, callers seldom seen. Which services are on which side, and which
    hosts are approved, meshslo.toml says in [boundary] and [egress]; without it what the entry calls is tenant-facing, and
    every other service internal. Connections are known from access logs, Istio's and Linkerd's metrics, and Envoy's spans.

    Example: meshslo security --store ./meshslo-store --since 24h
    """
    from meshslo.analysis.api import open_store
    from meshslo.dashboards.inputs import moment, read_config

    with working("looking at callers"):
        answer = open_store(store).security(config=read_config(config), since=moment(since), until=moment(until))
    put(answer, show, output, out)
    if fail_on != "never" and answer.at_least(fail_on):
        raise typer.Exit(1)


def show(answer: "Security", console: "Console") -> None:
    """Print callers by hop and identity, hosts outside, and each finding with its remedy."""
    from meshslo.dashboards import tables
    from meshslo.dashboards.frames import edge_table, host_table

    if answer.edges:
        tables.show(console, tables.of_frame(console, edge_table(answer)))
    else:
        console.print("no calls inside the mesh were seen", highlight=False)
    if answer.hosts:
        outside = tables.of_frame(console, host_table(answer))
        outside.title = "Hosts outside the mesh"
        tables.show(console, outside)
    for finding in answer.findings:
        say(console, f"{finding.severity} {finding.code} {finding.subject}: {finding.message}")
        say(console, f"    {finding.remedy}", hang=4)
    if not answer.findings:
        console.print("Nothing is exposed, as far as calls tell.")


COMMAND = Command(security)
