"""Rollups kept in ClickHouse, so that months are read without a span: two tables of cells of one layout.

`meshslo_cells` is exact: a statement on a schedule adds the minutes since its last run that have settled, and none twice. The
spans of one trace arrive in several inserts, and a call's hop is known only when both of its sides are there.
`meshslo_live` is current on insert: a materialised view adds what each span tells by itself (`telemetry.clickhouse.lone_sql`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl

from meshslo.telemetry.clickhouse import ClickHouse
from meshslo.telemetry.clickhouse.calls_sql import FRONTS as PARAMETER_FRONTS
from meshslo.telemetry.clickhouse.calls_sql import calls, fronts_of
from meshslo.telemetry.clickhouse.lone_sql import lone_calls
from meshslo.telemetry.clickhouse.sql import literal
from meshslo.telemetry.errors import BadInputError, StoreError
from meshslo.telemetry.vocabulary import PHASES

from .clickhouse import ADDED, bucket_ns, cells_of, counted, group_columns, timed_calls
from .folding import KEYS
from .scope import Scope

CELLS: Final = "meshslo_cells"
FRONTS: Final = "meshslo_fronts"
LIVE: Final = "meshslo_live"
LIVE_VIEW: Final = "meshslo_live_view"
BUCKET: Final = "1m"
MEANING: Final = "meshslo cells 2"
"""Comment of the tables: what their counts mean. A new number where the same spans would be counted otherwise."""
SETTLED_S: Final = 300
"""How old a minute must be before it is counted: spans of long streams and of slow exporters must have arrived."""
_MINUTE_NS: Final = bucket_ns(BUCKET)

_TYPES: Final = {
    "start": "Int64",
    "vantage": "LowCardinality(String)",
    "phase": "LowCardinality(String)",
    "outcome": "LowCardinality(String)",
    "event": "UInt8",
    "censored": "UInt8",
    "index": "Nullable(Int16)",
}
_VALUES: Final = {
    "count": "SimpleAggregateFunction(sum, UInt64)",
    "weight": "SimpleAggregateFunction(sum, Float64)",
    "weight_sq": "SimpleAggregateFunction(sum, Float64)",
    "sum_s": "SimpleAggregateFunction(sum, Float64)",
    "min_s": "SimpleAggregateFunction(min, Nullable(Float64))",
    "max_s": "SimpleAggregateFunction(max, Nullable(Float64))",
}


def statements(store: ClickHouse, *, keys: Sequence[str] = KEYS) -> list[str]:
    """What makes the tables and the view, and adds the minutes that have settled; run it again, each minute or hour.

    The view needs no schedule; the last two statements do. The list of services whose proxies stand for themselves
    (`meshslo_fronts`) is taken from the spans there are now.
    """
    table = store.address.table
    cells, fronts, live = table.beside(CELLS), table.beside(FRONTS), table.beside(LIVE)
    found = fronts_of(table.qualified, "1").sql()
    return [
        _table_of_cells(cells, keys),
        _table_of_cells(live, keys),
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {table.beside(LIVE_VIEW)} TO {live} AS\n{live_cells(store, keys)}",
        f"CREATE TABLE IF NOT EXISTS {fronts} (service String) ENGINE = ReplacingMergeTree ORDER BY service",
        f"INSERT INTO {fronts} SELECT arrayJoin(fronts) AS service FROM ({found})",
        f"INSERT INTO {cells}\n{settled_cells(store, keys)}",
    ]


def _table_of_cells(name: str, keys: Sequence[str]) -> str:
    """The table; its engine adds up cells of one place as parts merge."""
    group = group_columns(keys)
    kinds = {column: _TYPES.get(column, "LowCardinality(String)") for column in group} | _VALUES
    columns = ", ".join(f"`{column}` {kind}" for column, kind in kinds.items())
    # `index` is a word of the language here, and the last of the group.
    order = ", ".join(f"`{column}`" for column in group)
    engine = f"AggregatingMergeTree PARTITION BY intDiv(start, {bucket_ns('1d')}) ORDER BY ({order})"
    made = f"CREATE TABLE IF NOT EXISTS {name} ({columns})\nENGINE = {engine} SETTINGS allow_nullable_key = 1"
    return f"{made}\nCOMMENT {literal(MEANING)}"


def check_meaning(store: ClickHouse, *names: str) -> None:
    """StoreError where one of the tables `names` is there, but another version of meshslo made it: counts would be mixed."""
    table = store.address.table
    said = store.connection.frame(
        "SELECT name, comment FROM system.tables WHERE database = {database:String} AND has({names:Array(String)}, name)",
        {"database": table.database, "names": list(names)},
    )
    old = said.filter(pl.col("comment") != MEANING)["name"].sort().to_list()
    if old:
        gone = "; ".join(f"DROP TABLE {table.beside(name)}" for name in (*([LIVE_VIEW] if LIVE in old else []), *old))
        raise StoreError(
            f"{store.address.name}: {' and '.join(old)} of another version of meshslo, which counted calls otherwise; "
            f"read without cells=, or run {gone}, then meshslo clickhouse-init --apply"
        )


def live_cells(store: ClickHouse, keys: Sequence[str] = KEYS) -> str:
    """The cells of the spans that are being inserted, each taken by itself."""
    words = tuple(dict.fromkeys(("hop", *keys)))
    calls = lone_calls(store.address.table.qualified, words)
    return counted(calls.then(timed_calls(keys, BUCKET, PHASES)), keys).sql()


def settled_cells(store: ClickHouse, keys: Sequence[str] = KEYS, now_ns: str = "toUnixTimestamp64Nano(now64(9))") -> str:
    """The cells of the minutes that have settled at `now_ns` and are not in the table yet; of an empty one, the last hour's."""
    table = store.address.table
    until = f"intDiv({now_ns} - {SETTLED_S * 10**9}, {_MINUTE_NS}) * {_MINUTE_NS}"
    last = f"(SELECT max(start) FROM {table.beside(CELLS)})"
    since = f"if({last} = 0, {until} - {bucket_ns('1h')}, {last} + {_MINUTE_NS})"
    margin = int(table.longest_trace_s * 10**9)
    within = (
        f"Timestamp >= fromUnixTimestamp64Nano(toInt64({since} - {margin})) "
        f"AND Timestamp < fromUnixTimestamp64Nano(toInt64({until} + {margin}))"
    )
    words = tuple(dict.fromkeys(("hop", *keys)))
    text = cells_of(calls(table.qualified, within, words), tuple(keys), BUCKET, PHASES).sql()
    bound = {
        "{since:Int64}": f"({since})",
        "{until:Int64}": f"({until})",
        PARAMETER_FRONTS: f"(SELECT groupUniqArray(service) FROM {table.beside(FRONTS)})",
    }
    for parameter, expression in bound.items():
        text = text.replace(parameter, expression)
    return text


def kept_cells(store: ClickHouse, scope: Scope) -> pl.DataFrame:
    """The cells of the table whose minute begins in the window, added up by keys and bucket."""
    keys, bucket = scope.keys, scope.bucket
    if wrong := [key for key in keys if key not in KEYS]:
        raise BadInputError(
            f"{', '.join(wrong)}: the table of cells is kept by {', '.join(KEYS)}; leave cells= out to count anew"
        )
    table = store.address.table
    start = "toInt64(0)" if bucket is None else f"intDiv(start, {bucket_ns(bucket)}) * {bucket_ns(bucket)}"
    group = [name for name in group_columns(keys) if name != "start"]
    # Counted under other names first: an alias that a sum has must not be what the next one adds up.
    added = ", ".join(f"{text} AS s_{name}" for name, text in ADDED.items())
    words = ", ".join(group)
    source = f"FROM {table.beside(table.cells)} WHERE {_WITHIN} GROUP BY bucket, {words}"
    named = ", ".join(f"s_{name} AS {name}" for name in ADDED)
    statement = f"SELECT bucket AS start, {words}, {named} FROM (SELECT {start} AS bucket, {words}, {added} {source})"
    return store.connection.frame(statement, {"phases": list(scope.phases), **_bounds((scope.since, scope.until))})


def kept_extent(store: ClickHouse, window: tuple[datetime | None, datetime | None]) -> tuple[datetime | None, datetime | None]:
    """When the first and the last minute of the table within the window began; None where there is none.

    Cells outlive their spans: a table of spans is often kept for days, that of cells for months.
    """
    table = store.address.table
    # No condition but on the time, by which the table is partitioned: answered from what each part says of itself.
    statement = f"SELECT count() AS n, min(start) AS first, max(start) AS last FROM {table.beside(table.cells)} WHERE {_WINDOW}"
    cells, first, last = store.connection.frame(statement, _bounds(window)).row(0)
    return (_moment(first), _moment(last)) if cells else (None, None)


def _moment(nanoseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)


_WINDOW: Final = "start >= {since:Int64} AND start < {until:Int64}"
_WITHIN: Final = f"{_WINDOW} AND has({{phases:Array(String)}}, phase)"


def _bounds(window: tuple[datetime | None, datetime | None]) -> dict[str, Any]:
    since, until = (None if moment is None else _nanoseconds(moment) for moment in window)
    return {"since": 0 if since is None else since, "until": 2**63 - 1 if until is None else until}


def _nanoseconds(moment: datetime) -> int:
    zero = datetime(1970, 1, 1, tzinfo=moment.tzinfo)
    return (moment - zero) // timedelta(microseconds=1) * 1000
