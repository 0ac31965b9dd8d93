"""Narrowing windows of time until a search that answers with at most `limit` traces cannot have left any out."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import polars as pl

from meshslo.telemetry.errors import BadInputError, SourceError
from meshslo.telemetry.normalize import SPANS, Decoded, to_calls
from meshslo.telemetry.normalize.decode import decode_request
from meshslo.telemetry.normalize.otlp_json import request_of

Window = tuple[datetime, datetime]


Content = TypeVar("Content")


@dataclass(frozen=True)
class Found(Generic[Content]):
    """What one search gave: how many traces, their spans or ids, and what the user must know about them."""

    traces: int
    content: Content
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Narrowing:
    """Up to how many traces a search gives, and the shortest window it can be asked for."""

    limit: int
    shortest: timedelta


def slices(since: datetime, until: datetime, length: timedelta) -> Iterator[Window]:
    """[since, until) in pieces of at most `length`, the oldest first.

    >>> start = datetime(2026, 1, 1)
    >>> [int((b - a).total_seconds()) for a, b in slices(start, start + timedelta(seconds=25), timedelta(seconds=10))]
    [10, 10, 5]
    """
    while since < until:
        edge = min(since + length, until)
        yield since, edge
        since = edge


def narrowed(search: Callable[[Window], Found[Content]], window: Window, rule: Narrowing) -> Iterator[Found[Content]]:
    """What `search` finds in `window`, asked in halves wherever an answer was full; a full answer for the shortest is noted."""
    found = search(window)
    since, until = window
    if found.traces < rule.limit:
        yield found
    elif until - since < 2 * rule.shortest:
        yield Found(found.traces, found.content, (*found.notes, _overfull(window, rule)))
    else:
        steps = (until - since) // rule.shortest // 2
        middle = since + steps * rule.shortest
        yield from narrowed(search, (since, middle), rule)
        yield from narrowed(search, (middle, until), rule)


def _overfull(window: Window, rule: Narrowing) -> str:
    return (
        f"{rule.limit} traces or more began between {window[0].isoformat()} and {window[1].isoformat()}: the server chose "
        "which to return, so that moment is neither complete nor a random sample; raise --limit"
    )


def calls_of(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Call rows of the span tables in `frames`; a span that several searches returned counts once."""
    return to_calls(pl.concat([SPANS.to_frame(), *frames]))


def tally(notes: Iterable[str]) -> tuple[str, ...]:
    """Each note once, with how often it was made.

    >>> tally(["a trace came back partial", "slow", "a trace came back partial"])
    ('a trace came back partial (2 times)', 'slow')
    """
    return tuple(note if count == 1 else f"{note} ({count} times)" for note, count in Counter(notes).items())


def decoded(document: object, url: str) -> Decoded:
    """The spans of an OTLP/JSON document that `url` answered with; SourceError when it is none."""
    try:
        return decode_request(request_of(document))
    except BadInputError as error:
        raise SourceError(f"{url} answered with JSON that holds no traces: {error}") from error


def rejection_notes(found: Decoded) -> tuple[str, ...]:
    """A sentence on each kind of span that could not be taken."""
    return tuple(f"{item.count} spans were left out: {item.reason}" for item in found.rejected)
