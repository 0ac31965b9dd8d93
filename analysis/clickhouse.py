"""The rollup by ClickHouse: one group-by over the SQL of calls; only (key, bucket, count) rows travel.

The same layout and the same buckets as `rollup` and `histogram` make of call rows. On a cluster each shard counts its own
traces and the counts are added up.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import polars as pl

from meshslo.telemetry.clickhouse import ClickHouse, open_clickhouse
from meshslo.telemetry.clickhouse.calls_sql import WORDS
from meshslo.telemetry.clickhouse.sql import Steps, identifier, listed, literal
from meshslo.telemetry.errors import BadInputError, StoreError
from meshslo.telemetry.vocabulary import CENSORED, OUTCOMES, PHASES, VANTAGES, Phase

from . import histogram
from .api import CallStore
from .config import Limits
from .folding import EXTREMES, Rollup, from_cells
from .scope import Scope


@dataclass(frozen=True)
class ClickHouseCalls(CallStore):
    """Calls in ClickHouse: rollups are counted there, only what needs single calls brings their spans here."""

    source: ClickHouse | None = None

    def _count_calls(self, scope: Scope) -> Rollup:
        counted = roll_up(self._source, scope)
        # They cost nothing here, but an answer must not depend on the engine that gave it.
        return counted if scope.extremes else counted.without_extremes()

    def extent(self, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
        """When the first and the last span (or kept minute) in [since, until) began; a statement over one column."""
        if self._source.address.table.cells:
            from .clickhouse_cells import kept_extent

            first, last = kept_extent(self._source, (since, until))
        else:
            first, last = self._source.extent(since, until)
        if first is None or last is None:
            window = f"[{since or 'the beginning'}, {until or 'now'})"
            raise StoreError(f"{self.name}: {_nothing(self._source.address.table.cells, window)}")
        return first, last

    @property
    def _source(self) -> ClickHouse:
        assert self.source is not None, "made by open_calls"  # noqa: S101 - a default only since base fields have some
        return self.source


def _nothing(cells: str, window: str) -> str:
    """What a table of spans, or of `cells`, lacks, and who should have written it."""
    if cells:
        return f"no rollups in {cells} in {window}; does meshslo clickhouse-init --apply run every minute or hour?"
    return f"no spans in {window}; does the Collector's exporter write to this table?"


def open_calls(url: str, limits: Limits) -> ClickHouseCalls:
    """The calls at a ClickHouse address (`telemetry.clickhouse.address`); SourceError where no server answers.

    StoreError where the table of cells is of another version of meshslo.
    """
    source = open_clickhouse(url)
    if cells := source.address.table.cells:
        from .clickhouse_cells import check_meaning

        check_meaning(source, cells)
    return ClickHouseCalls(source.scan, source.address.name, limits, None, source)


_UNITS_NS: Final = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9}
ADDED: Final = {
    "count": "sum(count)",
    "weight": "sum(weight)",
    "weight_sq": "sum(weight_sq)",
    "sum_s": "sum(sum_s)",
    "min_s": "min(min_s)",
    "max_s": "max(max_s)",
}
_CUT: Final = f"outcome IN {listed(sorted(CENSORED))}"


def roll_up(store: ClickHouse, scope: Scope) -> Rollup:
    """As `rollup.roll_up`, counted where the calls are.

    Raises BadInputError naming keys, phases or a bucket that there are not, SourceError where the server does not answer.
    """
    keys, bucket, phases = scope.keys, scope.bucket, scope.phases
    wrong = [key for key in keys if key not in WORDS] + [phase for phase in phases if phase not in PHASES]
    if wrong:
        raise BadInputError(f"not keys or phases of calls in ClickHouse: {', '.join(wrong)}; keys are {', '.join(WORDS)}")
    if store.address.table.cells:
        from .clickhouse_cells import kept_cells

        frames = [kept_cells(store, scope)]
    else:
        frames = [
            store.connection.frame(statement(store, part.calls, keys, bucket, phases), part.parameters)
            for part in store.slices(scope.since, scope.until, tuple(dict.fromkeys(("hop", *keys))))
        ]
    cells = pl.concat([_empty(keys), *(_typed(frame, keys) for frame in frames)])
    return from_cells(cells.drop(EXTREMES), cells.drop("index"), keys, bucket)


def statement(store: ClickHouse, calls: Steps, keys: tuple[str, ...], bucket: str | None, phases: Sequence[Phase]) -> str:
    """The group-by over `calls`; on a cluster, the sum of the shards' own."""
    counted = cells_of(calls, keys, bucket, phases).sql()
    if not store.address.table.cluster:
        return counted
    group = ", ".join(group_columns(keys))
    sums = ", ".join(f"{text} AS {name}" for name, text in ADDED.items())
    return f"SELECT {group}, {sums} FROM cluster({identifier(store.address.table.cluster)}, view({counted})) GROUP BY {group}"


def cells_of(calls: Steps, keys: tuple[str, ...], bucket: str | None, phases: Sequence[Phase]) -> Steps:
    """The cells of the calls that started within the parameters `since` and `until`.

    A row for each time bucket, vantage, key, phase, ending and histogram bucket.
    """
    within = "WHERE start_ns >= {since:Int64} AND start_ns < {until:Int64}"
    return counted(calls.apart(timed_calls(keys, bucket, phases), within), keys)


def timed_calls(keys: Sequence[str], bucket: str | None, phases: Sequence[Phase]) -> dict[str, str]:
    """What `counted` reads of calls: place and keys, and an array of the phases that each call has been through."""
    start = "0" if bucket is None else f"intDiv(start_ns, {bucket_ns(bucket)}) * {bucket_ns(bucket)}"
    timed = ", ".join(f"({literal(phase)}, {', '.join(_timed(phase))})" for phase in phases)
    own = {"start": start, "vantage": "vantage", "outcome": "outcome", "weigh": "ifNull(weight, 1.0)", "timed": f"[{timed}]"}
    return {**own, **{f"k_{key}": key for key in keys}}


def counted(timed: Steps, keys: Sequence[str]) -> Steps:
    """The cells of calls that have the columns of `timed_calls`."""
    parts = {"phase": 1, "value": 2, "event": 3, "censored": 4}
    spread = timed.then(
        {
            **{name: name for name in ("start", "vantage", "outcome", "weigh", *(f"k_{key}" for key in keys))},
            **{name: f"tupleElement(timed, {place})" for name, place in parts.items()},
        },
        "ARRAY JOIN timed",
    )
    group = group_columns(keys)
    sums = {
        **{name: name for name in group if name != "index"},
        "index": _index("value"),
        "count": "count()",
        "weight": "sum(weigh)",
        "weight_sq": "sum(weigh * weigh)",
        "sum_s": "ifNull(sum(value), 0)",
        "min_s": "min(value)",
        "max_s": "max(value)",
    }
    return spread.then(sums, f"GROUP BY {', '.join(group)}")


def group_columns(keys: Sequence[str]) -> tuple[str, ...]:
    """Columns that tell cells apart; keys have the prefix `k_`, so that none is taken for a column of calls."""
    return ("start", "vantage", *(f"k_{key}" for key in keys), "phase", "outcome", "event", "censored", "index")


def bucket_ns(bucket: str) -> int:
    """Nanoseconds in a bucket such as "1m"; BadInputError for what has no fixed length.

    >>> bucket_ns("5m")
    300000000000
    """
    found = re.fullmatch(r"([1-9]\d*)([smhd])", bucket)
    if not found:
        raise BadInputError(
            f"bucket {bucket!r} has no fixed length; give seconds, minutes, hours or days, such as 1m, 1h or 30d"
        )
    return int(found[1]) * _UNITS_NS[found[2]]


def _timed(phase: Phase) -> tuple[str, str, str]:
    """Value, event and censored of a phase, as `phases.timed` has them."""
    if phase == "total":
        return _to_the_end("duration_s")
    if phase == "max_gap":
        longest = "if(max_gap_s IS NULL OR open_gap_s > max_gap_s, open_gap_s, max_gap_s)"
        return _to_the_end(f"if({_CUT}, {longest}, max_gap_s)")
    column = f"{phase}_s"
    counts = "ifNull(streaming, first_token_s IS NOT NULL)" if phase == "first_token" else "1"
    seen = f"{column} IS NOT NULL AND {counts}"
    cut_before = f"{column} IS NULL AND {counts} AND {_CUT} AND duration_s IS NOT NULL"
    return f"multiIf({seen}, {column}, {cut_before}, duration_s, NULL)", seen, cut_before


def _to_the_end(value: str) -> tuple[str, str, str]:
    return value, f"{value} IS NOT NULL AND outcome = 'ok'", f"{value} IS NOT NULL AND {_CUT}"


def _index(value: str) -> str:
    """The bucket of a duration, as `histogram.index_expr` has it."""
    held = f"least(greatest({value}, {histogram.FLOOR_S!r}), {histogram.CEILING_S!r})"
    return f"if({value} IS NULL, NULL, toInt16(ceil(log2({held}) * {2**histogram.SCALE} - {histogram._NUDGE!r}) - 1))"  # noqa: SLF001 - one home for it


def _typed(frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """The answer in the types of a rollup's cells."""
    kinds = _empty(keys).schema
    named = frame.rename({f"k_{key}": key for key in keys})
    return named.with_columns(
        pl.when(pl.col("start") > 0).then(pl.from_epoch("start", time_unit="ns").dt.replace_time_zone("UTC")).alias("start"),
        *(pl.when(pl.col(key) != "").then(key).alias(key) for key in keys),
        pl.col("event", "censored").cast(pl.Boolean),
    ).select(pl.col(name).cast(kind) for name, kind in kinds.items())


def _empty(keys: Sequence[str]) -> pl.DataFrame:
    kinds: dict[str, Any] = {
        "start": pl.Datetime("ns", "UTC"),
        "vantage": pl.Enum(VANTAGES),
        **dict.fromkeys(keys, pl.String),
        "phase": pl.Enum(PHASES),
        "outcome": pl.Enum(OUTCOMES),
        "event": pl.Boolean,
        "censored": pl.Boolean,
        "index": histogram.INDEX_TYPE,
        "count": pl.UInt64,
        **dict.fromkeys(("weight", "weight_sq", "sum_s", "min_s", "max_s"), pl.Float64),
    }
    return pl.DataFrame(schema=kinds)
