"""`meshslo clickhouse-init`: keep rollups current inside ClickHouse."""

from typing import Annotated

import typer

from meshslo.dashboards.console import err

from . import Command

_Url = Annotated[str, typer.Argument(metavar="URL", help="clickhouse://HOST:PORT/DB?table=otel_traces")]
_Apply = Annotated[bool, typer.Option("--apply", help="Run the statements instead of printing them.")]


def clickhouse_init(url: _Url, apply: _Apply = False) -> None:
    """Print (or run) what makes a table of rollups in ClickHouse and adds the minutes that have settled.

    Run it with --apply on a schedule to keep the table current; no minute is counted twice. Reports read it with
    `&cells=meshslo_cells` in the address.

    Example: meshslo clickhouse-init 'clickhouse://localhost:8123/otel?table=otel_traces' --apply
    """
    from meshslo.analysis.clickhouse_cells import CELLS, statements
    from meshslo.telemetry.clickhouse import open_clickhouse

    store = open_clickhouse(url)
    for statement in statements(store):
        if apply:
            store.connection.run(statement)
        else:
            typer.echo(statement + ";\n")
    if apply:
        err().print(f"Reports read it with &cells={CELLS} in the address.", markup=False)


COMMAND = Command(clickhouse_init, "clickhouse-init")
