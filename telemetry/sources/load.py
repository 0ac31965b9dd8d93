"""`import` as a library verb: files of any kind into a store, spans meeting their traces across files."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import polars as pl

from meshslo.telemetry.errors import BadConfigError, BadInputError
from meshslo.telemetry.normalize import SPANS, normalize

from . import Reading, Source, sources
from .column_map import ColumnMap
from .inputs import Input, Stream, opened
from .tally import BadLine, Tally
from .words import together

if TYPE_CHECKING:
    from meshslo.telemetry.store import Appended, Store

AUTO: Final = "auto"
_WRITE_ROWS: Final = 200_000
_REASONS: Final = 5


@dataclass(frozen=True)
class LoadSettings:
    """How to read, and what share of bad records is too much.

    Up to `held_spans` spans wait for their trace mates in other files; beyond that, traces that the last frame did not add to
    are taken as complete.
    """

    source: str = AUTO
    columns: ColumnMap = field(default_factory=ColumnMap)
    max_bad_ratio: float = 0.05
    held_spans: int = 2_000_000


@dataclass
class Loaded:
    """What an import did: rows new to the store, rows it already had, what is no call by reason, records refused.

    `unnamed` are the records without ids of their own: what is there already was told by content and place.
    """

    files: int = 0
    rows: int = 0
    duplicates: int = 0
    taken: int = 0
    unnamed: int = 0
    bad: int = 0
    reasons: list[BadLine] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def bad_ratio(self) -> float:
        """Share of the records that could not be read."""
        return self.bad / (self.taken + self.bad) if self.bad else 0.0

    def add(self, tally: Tally) -> None:
        """Count an input that has been read."""
        self.files += 1
        self.taken += tally.taken
        self.unnamed += tally.unnamed
        self.bad += tally.bad
        self.reasons = (self.reasons + tally.reasons)[:_REASONS]
        self.leave_out(tally.left_out)

    def leave_out(self, counts: Mapping[str, int]) -> None:
        """Count what is sound but no call."""
        for reason, count in counts.items():
            self.left_out[reason] = self.left_out.get(reason, 0) + count


Progress = Callable[[Input, int], None]
"""Called with the input and the bytes of it that have been read."""


def load(
    store: "Store", inputs: Sequence[Input], settings: LoadSettings | None = None, progress: Progress | None = None
) -> Loaded:
    """Read `inputs` into `store`. What can be read is kept, whatever else is wrong; the result says what was not.

    Raises BadInputError for an input of no known kind, and BadConfigError for a format that there is not.
    """
    settings = settings or LoadSettings()
    loaded = Loaded()
    with _Writer(store, loaded) as writer:
        traces = _Traces(writer, settings.held_spans, loaded)
        try:
            for each in inputs:
                _read(each, settings, (writer, traces), loaded, progress or _silent)
        finally:
            traces.flush()
    return loaded


def _silent(each: Input, position_bytes: int) -> None:
    """No progress to show."""


def _read(each: Input, settings: LoadSettings, sinks: "tuple[_Writer, _Traces]", loaded: Loaded, progress: Progress) -> None:
    tally = Tally(each.name)
    writer, traces = sinks
    with opened(each) as stream:
        source = _source(stream, settings)
        try:
            for frame in source.read(stream, Reading(tally, settings.columns)):
                (traces if source.gives == "spans" else writer).add(frame)
                progress(each, stream.position_bytes)
        finally:
            loaded.add(tally)


def _source(stream: Stream, settings: LoadSettings) -> Source:
    """The source that was named, or else the one that takes the stream for its own; with a column map, calls by default."""
    known, name = sources(), settings.source
    if name != AUTO:
        if name not in known:
            raise BadConfigError(f"--format {name!r} is not known; use one of {', '.join(formats())}")
        return known[name]
    head = stream.head()
    found = next((source for source in known.values() if source.sniff(head)), None)
    if found is None and (not head.strip() or settings.columns != ColumnMap()):
        return known["calls"]
    if found is None:
        raise BadInputError(
            f"{stream.source.name} begins like none of {', '.join(known)}: {head[:40]!r}; name its kind with --format"
        )
    return found


class _Writer:
    """Appends frames of calls to the store, one ahead of the reading."""

    def __init__(self, store: "Store", loaded: Loaded) -> None:
        self._store, self._loaded = store, loaded
        self._waiting: list[pl.DataFrame] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="meshslo-import")
        self._running: Future[Appended] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Also after an error: what was read is kept.
        try:
            self._write()
            self._settle()
        finally:
            self._pool.shutdown()

    def add(self, calls: pl.DataFrame) -> None:
        """Take a frame of calls."""
        if calls.height:
            self._waiting.append(calls)
        if sum(frame.height for frame in self._waiting) >= _WRITE_ROWS:
            self._write()

    def _write(self) -> None:
        if self._waiting:
            calls, self._waiting = together(self._waiting), []
            self._settle()
            self._running = self._pool.submit(self._store.append, calls, source="import")

    def _settle(self) -> None:
        if self._running is not None:
            running, self._running = self._running, None
            appended = running.result()
            self._loaded.rows += appended.rows
            self._loaded.duplicates += appended.duplicates


class _Traces:
    """Holds spans until their traces are whole, then passes their calls on."""

    def __init__(self, writer: _Writer, held_spans: int, loaded: Loaded) -> None:
        self._writer, self._held_spans, self._loaded = writer, held_spans, loaded
        self._held: list[pl.DataFrame] = []

    def add(self, spans: pl.DataFrame) -> None:
        """Take a frame of spans."""
        self._held.append(spans)
        if sum(frame.height for frame in self._held) > self._held_spans:
            last = spans["trace_id"].unique().implode()
            held = pl.concat(self._held)
            active = held["trace_id"].is_in(last)
            self._held = [held.filter(active)]
            self._pass_on(held.filter(~active))

    def flush(self) -> None:
        """Pass on whatever is held."""
        held, self._held = pl.concat([pl.DataFrame(schema=SPANS), *self._held]), []
        self._pass_on(held)

    def _pass_on(self, spans: pl.DataFrame) -> None:
        if spans.height:
            result = normalize(spans)
            self._loaded.leave_out(result.left_out)
            self._writer.add(result.calls)


def formats() -> list[str]:
    """What `LoadSettings.source` may be."""
    return [AUTO, *sources()]
