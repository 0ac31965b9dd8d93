"""One step of the worker: sealed segments become Parquet, but for spans whose trace may still be arriving.

A step is one commit: call files appear, the segments it has read go, and what must still wait is written into a new segment.
Killed at any moment, the step has happened in full or not at all; so nothing is lost and nothing comes twice.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl

from .atomic import TEMPORARY, sync_file
from .commits import Change, carry_out, decide, pending
from .counted import add_counts, count_calls, read_counts, stage_counts
from .hours import Staged, by_hour, folder_of, stage, without_repeats
from .known import KnownRows
from .layout import Layout
from .locks import write_lock
from .pushed import count_pushed, stage_pushed
from .segments import SEALED, all_segments, fresh_name, opened_ns, sealed
from .snapshot import take
from .spans import ARRIVAL, calls_of, pack_arrived, read_arrived

_NS: int = 10**9
_LOOK_AGAIN_S: Final = 1.0


@dataclass(frozen=True)
class IngestSettings:
    """How long a trace's spans are waited for, and how much one step takes on.

    A trace is settled `settle_s` after its latest span, or six times that after its first: by arrival, as far as what has
    arrived is read, so that a worker that is late waits no less for it. Beyond `max_carried_spans` the
    traces that have waited longest are settled early, so that memory stays bounded under load, and so that what was carried
    fits into a step together with a segment: else every other step would do nothing but carry. A step that leaves segments
    to the next one carries a quarter of that: it is falling behind, and carrying costs a fifth of its time.
    """

    settle_s: float = 10.0
    max_carried_spans: int = 50_000
    max_step_bytes: int = 32 * 2**20


@dataclass(frozen=True)
class Step:
    """What a step did with `segments` segments of `size_bytes` together.

    `duplicates` are call rows that were there already, and spans that came again before they had become one.
    Of the metric points, `metric_repeats` were known already, and `metric_baselines` are of streams that began long before
    they were first heard of: when these counted what they hold is not known, and it counts nowhere. Nor do
    the `metric_surplus` of more streams than can be remembered.
    The carried spans are in the segment `carried_in`; the first of their traces is settled at `next_due_s` (since the epoch).
    """

    segments: int = 0
    size_bytes: int = 0
    spans: int = 0
    rows: int = 0
    duplicates: int = 0
    carried: int = 0
    damaged: tuple[str, ...] = ()
    metric_points: int = 0
    metric_repeats: int = 0
    metric_baselines: int = 0
    metric_surplus: int = 0
    carried_in: str | None = None
    next_due_s: float | None = None


@dataclass(frozen=True)
class Appended:
    """How many rows were added, and how many were there already."""

    rows: int
    duplicates: int


def ingest(layout: Layout, settings: IngestSettings, *, flush: bool = False, known: KnownRows | None = None) -> Step:
    """Turn sealed segments into call files; with `flush`, spans that could still wait are taken as they are.

    Who takes many steps passes the same `known` to each, so that stored rows need not be read again.
    """
    with write_lock(layout):
        for commit in pending(layout):
            carry_out(layout, commit)
        now_ns = time.time_ns()
        present = sealed(layout)
        segments = _within(present, settings.max_step_bytes)
        if not segments:
            return Step()
        if len(segments) < len(present):
            settings = replace(settings, max_carried_spans=settings.max_carried_spans // 4)
        read = _read(segments, settings, min([now_ns, *_unread_ns(layout, segments)]), flush=flush)
        due_s = _next_due_s(read, settings, now_ns)
        size_bytes = sum(path.stat().st_size for path in segments)
        return replace(_store(layout, segments, read, known or KnownRows()), size_bytes=size_bytes, next_due_s=due_s)


def set_aside(layout: Layout, segment: Path) -> None:
    """Keep `segment` as evidence among the damaged ones: its spans could not be turned into calls."""
    with write_lock(layout):
        moved = (layout.relative(segment), layout.relative(layout.damaged / segment.name))
        carry_out(layout, decide(layout, Change(publish=(moved,))))


def append(layout: Layout, calls: pl.DataFrame, stem: str, known: KnownRows) -> Appended:
    """Add canonical call rows that are in no file yet, as one commit."""
    with write_lock(layout):
        for commit in pending(layout):
            carry_out(layout, commit)
        staged = [file for file, _ in _stage_new(layout, calls, stem, known)]
        if staged:
            carry_out(layout, decide(layout, Change(publish=_published(layout, staged))))
    rows = sum(file.rows for file in staged)
    return Appended(rows, calls.height - rows)


def _within(segments: list[Path], max_bytes: int) -> list[Path]:
    """The first segments that together stay within `max_bytes`, at least one."""
    taken: list[Path] = []
    size_bytes = 0
    for path in segments:
        size_bytes += path.stat().st_size
        if taken and size_bytes > max_bytes:
            break
        taken.append(path)
    return taken


def _unread_ns(layout: Layout, segments: list[Path]) -> list[int]:
    """When each segment that is not among `segments` was opened: being written still, or left to the next step."""
    return [opened_ns(path) for path in all_segments(layout) if path not in segments]


@dataclass(frozen=True)
class _Read:
    """What a step has read: spans, logged calls and metrics to store now, spans to carry over, what could not be read.

    `repeated` spans came more than once, and are left out but for the first time.
    All that arrived before `until_ns` has been read: what a trace is waited for may lie in a segment that has not.
    """

    ready: pl.DataFrame
    logged: pl.DataFrame
    metered: list[bytes]
    waiting: pl.DataFrame
    repeated: int
    damaged: Mapping[Path, tuple[str, ...]]
    until_ns: int


def _read(segments: list[Path], settings: IngestSettings, until_ns: int, *, flush: bool) -> _Read:
    arrived = read_arrived(segments)
    ready, waiting = split_settled(arrived.spans, settings, until_ns, flush=flush)
    return _Read(ready, arrived.logged, arrived.metered, waiting, arrived.repeated, arrived.damaged, until_ns)


def _store(layout: Layout, segments: list[Path], read: _Read, known: KnownRows) -> Step:
    calls = calls_of(read.ready, read.logged)
    written = list(_stage_new(layout, calls, fresh_name(), known))
    staged = [file for file, _ in written]
    counts = [stage_counts(layout, _counted(layout, [new for _, new in written]))] if written else []
    metered = count_pushed(layout.streams, read.metered, time.time_ns()) if read.metered else None
    series = [] if metered is None else stage_pushed(layout, metered, fresh_name())
    carried = [] if read.waiting.is_empty() else [_stage_waiting(layout, read.waiting)]
    evidence = [(path, layout.damaged / path.name) for path in read.damaged]
    change = Change(
        publish=_published(layout, staged)
        + tuple((layout.relative(a), layout.relative(b)) for a, b in [*counts, *series, *carried, *evidence]),
        drop=tuple(layout.relative(path) for path in segments if path not in read.damaged),
    )
    carry_out(layout, decide(layout, change))
    rows = sum(file.rows for file in staged)
    return Step(
        segments=len(segments),
        spans=read.ready.height,
        rows=rows,
        duplicates=calls.height - rows + read.repeated,
        carried=read.waiting.height,
        damaged=tuple(f"{path.name}: {'; '.join(why)}" for path, why in read.damaged.items()),
        **(metered.tally if metered else {}),
        carried_in=carried[0][1].name if carried else None,
    )


def split_settled(
    spans: pl.DataFrame, settings: IngestSettings, until_ns: int, *, flush: bool
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(settled, waiting): whole traces, by when their spans arrived; `spans` are all that did before `until_ns`."""
    settled_ns = until_ns - int(settings.settle_s * _NS)
    if flush or spans.is_empty() or spans[ARRIVAL].max() <= settled_ns:  # type: ignore[operator]  # of an Int64 column
        return spans, spans.clear()
    settle_ns = int(settings.settle_s * _NS)
    traces = spans.select(ARRIVAL, pl.col("trace_id").hash().alias("trace")).select(
        "trace", pl.col(ARRIVAL).max().over("trace").alias("last"), pl.col(ARRIVAL).min().over("trace").alias("first")
    )
    settled = (traces["last"] <= until_ns - settle_ns) | (traces["first"] <= until_ns - 6 * settle_ns)
    surplus = traces.filter(~settled).height - settings.max_carried_spans
    if surplus > 0:
        # Numbers are sorted, not the spans: those of the latest traces wait on.
        latest = traces.filter(~settled).select("last", "trace").sort("last", "trace", descending=True)
        last, trace = latest.row(settings.max_carried_spans)
        settled |= (traces["last"] < last) | ((traces["last"] == last) & (traces["trace"] <= trace))
    return spans.filter(settled), spans.filter(~settled)


def _next_due_s(read: _Read, settings: IngestSettings, now_ns: int) -> float | None:
    """When the first of the carried traces is settled, at the earliest; what is unread is soon a step's work of its own."""
    if read.waiting.is_empty():
        return None
    earliest_ns = read.waiting.group_by("trace_id").agg(pl.col(ARRIVAL).max()).get_column(ARRIVAL).min()
    due_s = float(earliest_ns) / _NS + settings.settle_s  # type: ignore[arg-type]  # of an Int64 column that is not empty
    return due_s if read.until_ns >= now_ns else max(due_s, now_ns / _NS + _LOOK_AGAIN_S)


def _stage_new(layout: Layout, calls: pl.DataFrame, stem: str, known: KnownRows) -> Iterator[tuple[Staged, pl.DataFrame]]:
    """Write those of `calls` that no file holds yet, a file an hour; each with its rows."""
    stored = take(layout).calls
    for hour, part in by_hour(without_repeats(calls)):
        folder = folder_of(layout, hour)
        new = known.without_stored(part, hour, [path for path in stored if path.parent == folder])
        if not new.is_empty():
            staged = stage(layout, hour, new, stem)
            known.add(new, hour, staged.final)
            yield staged, new


def _counted(layout: Layout, written: list[pl.DataFrame]) -> pl.DataFrame:
    """The store's running counts with the rows that are being written."""
    return add_counts(read_counts(layout), pl.concat([count_calls(new) for new in written]))


def _stage_waiting(layout: Layout, waiting: pl.DataFrame) -> tuple[Path, Path]:
    """A segment as old as its spans, which sorts before all that is unread: the next step begins with it."""
    opened: int = waiting[ARRIVAL].min()  # type: ignore[assignment]  # of an Int64 column that is not empty
    final = layout.wal / f"{fresh_name(opened)}{SEALED}"
    temporary = final.with_name(f".{final.name}{TEMPORARY}")
    temporary.write_bytes(pack_arrived(waiting, opened))
    temporary.chmod(0o600)
    sync_file(temporary)
    return temporary, final


def _published(layout: Layout, staged: list[Staged]) -> tuple[tuple[str, str], ...]:
    return tuple((layout.relative(file.temporary), layout.relative(file.final)) for file in staged)
