"""Serialized metrics exports to rows of the metric store, with what has to be remembered of each stream until the next."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from meshslo.telemetry.prometheus.classic import Found
from meshslo.telemetry.prometheus.labels import words_of
from meshslo.telemetry.prometheus.profile import SECONDS, Counter, Histogram
from meshslo.telemetry.store.metrics import SERIES, STEPS, conform_series

from .growth import MEMORY_NS, Grown, Last, grow
from .held import Held
from .points import Read, read_points

MAX_STREAMS: Final = 200_000
"""Streams that are remembered; one more (a label that is different each time) would count nowhere, and is told."""

SOURCE: Final = "otlp"
"""Who said it: everything that was pushed, so that the counts of a service's processes add up to one view of a hop."""

STATE: Final = pl.Schema(
    {
        "stream": pl.Binary(),
        "time_ns": pl.Int64(),
        "recent": pl.List(pl.Int64()),
        "is_held": pl.Boolean(),
        "scale": pl.Int8(),
        "bounds": pl.List(pl.Float64()),
        "number": pl.List(pl.Int64()),
        "count": pl.List(pl.Float64()),
        "zeros": pl.Float64(),
        "zero_threshold": pl.Float64(),
        "total": pl.Float64(),
    }
)
"""What is remembered: a row a stream."""

_UNITS: Final[dict[str, float]] = {unit: seconds for unit, seconds in SECONDS.items()}  # noqa: C416  a unit of any spelling
"""What the message says of its unit goes before the profile's word."""
_NS: Final = 10**9
_ROWS: Final = pl.Schema({"word": pl.UInt32(), **{name: STEPS[name] for name in ("start", "step_s", "phase", "measure")}}) | {
    name: STEPS[name] for name in ("low_s", "high_s", "value")
}


@dataclass(frozen=True)
class Counted:
    """What some messages say: rows of `SERIES`, and the state for the next.

    Of the points some came twice, were a baseline (see `growth`), or were of more streams than can be remembered.
    """

    series: pl.DataFrame
    state: pl.DataFrame
    points: int = 0
    repeats: int = 0
    baselines: int = 0
    surplus: int = 0

    @property
    def tally(self) -> dict[str, int]:
        """The numbers as a step tells them."""
        return {f"metric_{name}": getattr(self, name) for name in ("points", "repeats", "baselines", "surplus")}


def count_points(payloads: Sequence[bytes], state: pl.DataFrame, now_ns: int, max_streams: int = MAX_STREAMS) -> Counted:
    """The growth that ExportMetricsServiceRequests tell, given what was heard before (`STATE`).

    Streams that were silent for a day until `now_ns` are forgotten. Data points that cannot be counted are left out
    (`messages.point_fault`). BadInputError where one is no such message.
    """
    streams = _remembered(state)
    table = _Table()
    points = repeats = baselines = surplus = 0
    for read in sorted((read for payload in payloads for read in read_points(payload)), key=lambda read: read.point.time_ns):
        points += 1
        if read.point.stream not in streams and len(streams) >= max_streams:
            surplus += 1
            continue
        grown, last = grow(read.point, streams.get(read.point.stream))
        repeats += last is None
        if last is not None:
            streams[read.point.stream] = last
            baselines += grown is None
        if grown is not None:
            table.add(read, grown)
    return Counted(table.series(), _as_state(streams, now_ns), points, repeats, baselines, surplus)


@dataclass
class _Table:
    """Rows of the metric store, the words of each series held once."""

    words: dict[tuple[int, tuple[tuple[str, str], ...]], int] = field(default_factory=dict)
    known: dict[int, Found] = field(default_factory=dict)
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def add(self, read: Read, grown: Grown) -> None:
        """Count `grown` for each metric that `read` is."""
        # Whole seconds at either end: what follows joins without a gap, and series of one rhythm have one length of step.
        since_s, until_s = grown.since_ns // _NS, grown.until_ns // _NS
        when = (since_s * _NS, float(max(1, until_s - since_s)))
        for found in read.found:
            self.known[id(found)] = found
            word = self.words.setdefault((id(found), tuple(sorted(read.labels.items()))), len(self.words))
            if isinstance(found.metric, Counter):
                self.rows.append((word, *when, None, found.metric.measure, None, None, sum(grown.held.counts.values())))
            elif isinstance(found.metric, Histogram):
                self.rows += _durations(word, when, found.metric, _UNITS.get(read.unit, SECONDS[found.metric.unit]), grown)

    def series(self) -> pl.DataFrame:
        """All of it as `SERIES`; equal numbers of equal words and time are added."""
        if not self.rows:
            return pl.DataFrame(schema=SERIES)
        rows = pl.DataFrame(self.rows, schema=_ROWS, orient="row")
        told = pl.concat(self._told(), how="diagonal_relaxed")
        named = rows.join(told, on="word").drop("word")
        steps = [name for name in named.columns if name != "value"]
        added = named.group_by(steps, maintain_order=True).agg(pl.col("value").sum())
        return conform_series(
            added.group_by([name for name in steps if name != "start"], maintain_order=True).agg("start", "value")
        )

    def _told(self) -> Iterator[pl.DataFrame]:
        """What the words of each metric's labels mean."""
        for key, found in self.known.items():
            mine = [(word, dict(labels)) for (of, labels), word in self.words.items() if of == key]
            words = words_of([labels for _, labels in mine], found.profile, found.metric)
            yield words.with_columns(
                pl.Series("word", [word for word, _ in mine], dtype=pl.UInt32),
                source=pl.lit(SOURCE),
                profile=pl.lit(found.profile.name),
                instrument=pl.lit(found.metric.metric),
                preference=pl.lit(found.preference, dtype=pl.UInt8),
            )


def _durations(word: int, when: tuple[int, float], metric: Histogram, scale: float, grown: Grown) -> Iterator[tuple[Any, ...]]:
    for low, high, count in grown.held.edges():
        yield (word, *when, metric.phase, "bucket", low * scale, high * scale, count)
    if grown.held.total is not None:
        yield (word, *when, metric.phase, "sum_s", None, None, grown.held.total * scale)


def _remembered(state: pl.DataFrame) -> dict[bytes, Last]:
    return {
        row["stream"]: Last(row["time_ns"], _held(row) if row["is_held"] else None, tuple(row["recent"]))
        for row in state.iter_rows(named=True)
    }


def _held(row: dict[str, Any]) -> Held:
    counts = dict(zip(row["number"], row["count"], strict=True))
    return Held(counts, row["scale"], tuple(row["bounds"]), row["zeros"], row["zero_threshold"], row["total"])


def _as_state(streams: dict[bytes, Last], now_ns: int) -> pl.DataFrame:
    rows = [_row(stream, last) for stream, last in streams.items() if last.time_ns >= now_ns - MEMORY_NS]
    return pl.DataFrame(rows, schema=STATE, orient="row")


def _row(stream: bytes, last: Last) -> tuple[Any, ...]:
    held = last.held or Held({})
    counts = list(held.counts), list(held.counts.values())
    edges = (held.scale, list(held.bounds), *counts, held.zeros, held.zero_threshold, held.total)
    return (stream, last.time_ns, list(last.recent), last.held is not None, *edges)
