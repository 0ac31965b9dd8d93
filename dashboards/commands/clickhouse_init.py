"""`meshslo clickhouse-init`: keep rollups current inside ClickHouse."""

from typing import Annotated

import typer

from meshslo.dashboards.console import err

from . import Command

_Url = Annotated[str, typer.Argument(metavar="URL", help="clickhouse://HOST:PORT/DB?table=otel_traces")]
_Apply = Annotated[bool, typer.Option("--apply", help="Run the statements instead of printing them.")]


def clickhouse_init(url: _Url, apply: _Apply = False) -> None:
    """Print (or run) what keeps rollups current in ClickHouse: a materialised view, and a statement for the exact ones.

    The view counts each span as it is inserted; reports read it with `&cells=meshslo_live` in the address. The statement
    counts the minutes that have settled, with whole traces: run it with --apply on a schedule, no minute is counted twice,
    and read it with `&cells=meshslo_cells`.

    Example: meshslo clickhouse-init 'clickhouse://localhost:8123/otel?table=otel_traces' --apply
    """
    from meshslo.analysis.clickhouse_cells import CELLS, LIVE, check_meaning, statements
    from meshslo.telemetry.clickhouse import open_clickhouse

    store = open_clickhouse(url)
    check_meaning(store, CELLS, LIVE)
    for statement in statements(store):
        if apply:
            store.connection.run(statement)
        else:
            typer.echo(statement + ";\n")
    if apply:
        said = f"Reports read rollups with &cells={LIVE} (on insert) or &cells={CELLS} (exact, on a schedule) in the address."
        err().print(said, markup=False)


COMMAND = Command(clickhouse_init, "clickhouse-init")
