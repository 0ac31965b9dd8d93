"""The embedded ClickHouse engine, one in a process; skipped where it is not installed."""

from functools import cache
from importlib.util import find_spec
from typing import Any

from .shared import absent

URL = "chdb:///default?table={table}&longest_trace_s=600"


def engine_url(table: str) -> str:
    """Address of `table` in the engine's memory."""
    if find_spec("chdb") is None:
        absent("no chdb: pip install 'meshslo[dev]'")
    return URL.format(table=table)


@cache
def engine() -> Any:
    """A driver's client of the engine; kept, as the engine forgets its memory with the last of them."""
    from meshslo.telemetry.clickhouse import open_clickhouse

    return open_clickhouse(engine_url("otel_traces")).connection.client
