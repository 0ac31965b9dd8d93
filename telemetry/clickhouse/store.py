"""Spans in ClickHouse as a store of calls: windows, slices, and rows for what needs them one by one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl

from meshslo.telemetry.errors import StoreError
from meshslo.telemetry.normalize import SPANS, to_calls
from meshslo.telemetry.schema import FRAME

from .address import Address, parse_address
from .calls_sql import calls, fronts_of
from .connection import Connection
from .spans_sql import raw_spans
from .sql import Steps

SLICE: Final = timedelta(hours=1)
SLICE_SPANS: Final = 1_000_000
"""How much of a window one statement covers: an hour, or more where that holds few spans. A server holds the traces of one
slice at a time, and planning a statement takes as much of its time as counting some 40,000 spans."""
MOST_SPANS: Final = 20_000_000
"""Spans of a window that may be brought here for what needs calls one by one."""

_WITHIN: Final = "Timestamp >= fromUnixTimestamp64Nano({first:Int64}) AND Timestamp < fromUnixTimestamp64Nano({last:Int64})"
_ZERO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FAR: Final = datetime(2262, 1, 1, tzinfo=UTC)
"""Nanoseconds since 1970 in 64 bits end in that year."""


@dataclass(frozen=True)
class Slice:
    """A part of a window: the statement of its calls' columns, and the parameters to bind."""

    calls: Steps
    parameters: dict[str, Any]
    """`since` and `until` in Unix ns among them: calls outside are to be left out."""


@dataclass(frozen=True)
class ClickHouse:
    """A table of spans, read where it is."""

    connection: Connection

    @property
    def address(self) -> Address:
        """Where it is."""
        return self.connection.address

    def scan(self, since: datetime | None = None, until: datetime | None = None) -> pl.LazyFrame:
        """Every call that started in [since, until), as canonical rows: the spans come here and the local code normalises them.

        StoreError where these are more than `MOST_SPANS`.
        """
        hours = self._hours(since, until)
        self._check_few(int(hours["spans"].sum()))
        frames = []
        for begin, end in _windows(hours, since, until):
            # In the order that the SQL goes through them too; a table has none.
            rows = to_calls(self._spans(begin, end).sort("start_ns", "kind", "span_id"))
            frames.append(rows.filter(pl.col("start") >= begin, pl.col("start") < end))
        return pl.concat([FRAME.to_frame(), *frames]).lazy()

    def slices(self, since: datetime | None, until: datetime | None, words: tuple[str, ...]) -> Iterator[Slice]:
        """Statements that together give every call that started in [since, until), told apart by `words`."""
        for begin, end in _windows(self._hours(since, until), since, until):
            parameters = self._parameters(begin, end)
            fronts = self.connection.frame(fronts_of(self.address.table.qualified, _WITHIN).sql(), parameters)["fronts"]
            found = fronts[0].to_list() if len(fronts) else []
            yield Slice(calls(self.address.table.qualified, _WITHIN, words), {**parameters, "fronts": found})

    def _hours(self, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """The hours (since 1970) of the window in which a span began, in order, and how many `spans` did."""
        for bound in (since, until):
            if bound is not None and bound.tzinfo is None:
                raise ValueError(f"{bound} has no time zone; pass an aware datetime, such as datetime(2026, 11, 2, tzinfo=UTC)")
        length = SLICE // timedelta(microseconds=1) * 1000
        return self.connection.frame(
            f"SELECT toInt64(intDiv(toUnixTimestamp64Nano(Timestamp), {length})) AS hour, count() AS spans "
            f"FROM {self.address.table.qualified} WHERE {_WITHIN} GROUP BY hour ORDER BY hour",
            {"first": _nanoseconds(since or _ZERO), "last": _nanoseconds(until or _FAR)},
        )

    def extent(self, since: datetime | None = None, until: datetime | None = None) -> tuple[datetime | None, datetime | None]:
        """When the first and the last span in [since, until) began, to the microsecond below; None where there is none."""
        bounds = {"first": _nanoseconds(since or _ZERO), "last": _nanoseconds(until or _FAR)}
        spans, first, last = self.connection.frame(
            "SELECT count() AS spans, toUnixTimestamp64Nano(min(Timestamp)) AS first, "
            f"toUnixTimestamp64Nano(max(Timestamp)) AS last FROM {self.address.table.qualified} WHERE {_WITHIN}",
            bounds,
        ).row(0)
        return (_moment(first), _moment(last)) if spans else (None, None)

    def _parameters(self, begin: datetime, end: datetime) -> dict[str, Any]:
        margin = timedelta(seconds=self.address.table.longest_trace_s)
        return {
            "since": _nanoseconds(begin),
            "until": _nanoseconds(end),
            "first": _nanoseconds(begin - margin),
            "last": _nanoseconds(end + margin),
        }

    def _check_few(self, spans: int) -> None:
        """StoreError where a window's spans are more than `MOST_SPANS`."""
        if spans > MOST_SPANS:
            raise StoreError(
                f"{self.address.name}: the window's {spans} spans are too many to bring here one by one, at most {MOST_SPANS} "
                "may be; ask for a shorter window with --since and --until"
            )

    def _spans(self, begin: datetime, end: datetime) -> pl.DataFrame:
        """The span table of the traces around a window."""
        parameters = self._parameters(begin, end)
        spans = self.connection.frame(raw_spans(self.address.table.qualified, _WITHIN), parameters)
        texts = [name for name, kind in SPANS.items() if kind == pl.String]
        ids = [name for name, kind in SPANS.items() if kind == pl.Binary]
        return spans.with_columns(
            *(pl.when(pl.col(name) != "").then(name).alias(name) for name in texts),
            *(pl.when(pl.col(name) != "").then(name).str.decode("hex").alias(name) for name in ids),
        ).select(pl.col(name).cast(kind) for name, kind in SPANS.items())


def open_clickhouse(url: str) -> ClickHouse:
    """The spans at `url` (see `address`); SourceError where no server answers."""
    return ClickHouse(Connection(parse_address(url)))


def _windows(hours: pl.DataFrame, since: datetime | None, until: datetime | None) -> Iterator[tuple[datetime, datetime]]:
    """The window's hours in which a span began, few spans together; a call begins where one of its spans does."""
    for begin, end in _together(hours.rows()):
        yield max(since or _ZERO, _ZERO + begin * SLICE), min(until or _FAR, _ZERO + (end + 1) * SLICE)


def _together(hours: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """First and last hour of runs of (hour, spans) that hold no more than `SLICE_SPANS`, or are one hour."""
    run: list[int] = []
    held = 0
    for hour, spans in hours:
        if run and held + spans > SLICE_SPANS:
            yield run[0], run[-1]
            run, held = [], 0
        run.append(hour)
        held += spans
    if run:
        yield run[0], run[-1]


def _moment(nanoseconds: int) -> datetime:
    return _ZERO + timedelta(microseconds=nanoseconds // 1000)


def _nanoseconds(moment: datetime) -> int:
    passed = moment - _ZERO
    return (passed.days * 86_400 + passed.seconds) * 10**9 + passed.microseconds * 1000
