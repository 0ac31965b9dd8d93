"""What each stream of data points grew by, and between which moments.

A stream is one process's count of one thing. Its cumulative points say what it has counted since its start, so the first one
counts from there on; a later start is another life of the process and a stream of its own. A start that was not heard of for a
day is too long ago for its first point to say when: that one is the baseline. Delta points count as they are, a repeated one
once.
Source: OpenTelemetry metrics data model, temporality, resets and gaps, single-writer.
"""

from dataclasses import dataclass
from typing import Final

from .held import Held, difference

MEMORY_NS: Final = 24 * 3600 * 10**9
"""How long a stream that says nothing is remembered, and how old its start may be for its first point to count."""
_RECENT: Final = 16
"""Delta points of a stream that are remembered, so that one that is sent again counts once."""


@dataclass(frozen=True)
class Point:
    """A data point: whose (`stream`), of which time (ns since the epoch; start 0 is unknown), and what it holds."""

    stream: bytes
    start_ns: int
    time_ns: int
    is_delta: bool
    held: Held


@dataclass(frozen=True)
class Last:
    """What must be remembered of a stream: its latest time, and what it held then or the times of its latest points."""

    time_ns: int
    held: Held | None = None
    recent: tuple[int, ...] = ()


@dataclass(frozen=True)
class Grown:
    """What was counted in (since_ns, until_ns]."""

    since_ns: int
    until_ns: int
    held: Held


def grow(point: Point, last: Last | None) -> tuple[Grown | None, Last | None]:
    """What `point` adds to what its stream said `last`, and what to remember instead; (None, None) where it is a repeat.

    (None, Last) is a baseline: what it holds was counted at a time that is not known.
    """
    return _delta(point, last) if point.is_delta else _cumulative(point, last)


def _delta(point: Point, last: Last | None) -> tuple[Grown | None, Last | None]:
    recent = () if last is None else last.recent
    if point.time_ns in recent or (len(recent) == _RECENT and point.time_ns < min(recent)):
        return None, None
    latest_ns = max((point.time_ns, *recent))
    kept = Last(latest_ns, recent=tuple(sorted((*recent, point.time_ns))[-_RECENT:]))
    return Grown(point.start_ns or point.time_ns, point.time_ns, point.held), kept


def _cumulative(point: Point, last: Last | None) -> tuple[Grown | None, Last | None]:
    kept = Last(point.time_ns, point.held)
    if last is None or last.held is None:
        is_known = point.start_ns and point.time_ns - point.start_ns <= MEMORY_NS
        return (Grown(point.start_ns, point.time_ns, point.held) if is_known else None), kept
    if point.time_ns <= last.time_ns:
        return None, None
    # A value that falls although the start is the same: the process began anew and does not say when.
    since_last = difference(point.held, last.held)
    return Grown(last.time_ns, point.time_ns, point.held if since_last is None else since_last), kept
