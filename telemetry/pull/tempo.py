"""Grafana Tempo: TraceQL search for trace ids in narrow windows, then each trace by its id.

A search returns the first traces it finds, neither the newest nor a random sample; windows are halved until each is answered in
full. TraceQL's own quantiles are never asked for: their buckets are powers of two.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil, floor
from typing import Any, Final

import polars as pl

from meshslo.telemetry.errors import BadInputError, SourceError
from meshslo.telemetry.normalize import SPANS, Decoded, decode_traces

from . import Ask, Batch, Puller
from .http import CONNECTIONS, PROTOBUF, Answer, Params, Server
from .windows import Found, Narrowing, Window, calls_of, decoded, narrowed, rejection_notes, slices, tally

_MARGIN_S: Final = 3600
"""How far around a trace's root its blocks are looked for; children of long streams end late."""


Json = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What to ask a Tempo for."""

    query: str = field(default="{}", metadata={"help": "TraceQL that the traces must match; {} is all."})
    limit: int = field(default=1000, metadata={"help": "Traces a search may return before its window is halved."})
    slice_s: float = field(default=300.0, metadata={"help": "Seconds that one step of the pull covers."})


def read(ask: Ask) -> Iterator[Batch]:
    """Batches of `slice_s` seconds, the oldest first."""
    settings: Settings = ask.settings
    rule = Narrowing(settings.limit, timedelta(seconds=1))
    tempo = Tempo(ask.server, settings)
    first: tuple[str, ...] = (
        f"Tempo's search returns the first traces it finds: read in windows of fewer than {settings.limit} traces.",
    )
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for window in slices(ask.since, ask.until, timedelta(seconds=settings.slice_s)):
            found = list(narrowed(tempo.search, window, rule))
            listed = {item["traceID"]: item for part in found for item in part.content}
            traces = list(pool.map(tempo.trace, listed.values()))
            notes = [
                *first,
                *(note for part in found for note in part.notes),
                *(note for trace in traces for note in trace.notes),
            ]
            yield Batch(*window, calls=calls_of(trace.content for trace in traces), notes=tally(notes))
            first = ()


@dataclass(frozen=True)
class Tempo:
    """One Tempo and what is asked of it."""

    server: Server
    settings: Settings

    def search(self, window: Window) -> Found[list[Json]]:
        """What the search lists for `window`, which it knows by whole seconds."""
        params: Params = {
            "q": self.settings.query,
            "limit": self.settings.limit,
            "spss": 1,
            "start": floor(window[0].timestamp()),
            "end": ceil(window[1].timestamp()),
        }
        document = self.server.json("/api/search", params)
        listed = document.get("traces", []) if isinstance(document, dict) else None
        if not isinstance(listed, list) or not ({"traces", "metrics"} & set(document) or document == {}):
            raise SourceError(f"{self.server.url}/api/search answered with JSON that lists no traces; is this a Tempo?")
        if not all(isinstance(item, dict) and isinstance(item.get("traceID"), str) for item in listed):
            raise SourceError(f"{self.server.url}/api/search lists traces without traceID; is this a Tempo?")
        return Found(len(listed), listed, _unfinished(document))

    def trace(self, item: Json) -> Found[pl.DataFrame]:
        """The spans of a trace that the search listed: by API v2, which says when it is partial, else by the older one."""
        trace_id = item["traceID"].rjust(32, "0")
        answer = self.server.get(f"/api/v2/traces/{trace_id}", _around(item), expect=(200, 404))
        if answer.status == 404:
            answer = self.server.get(f"/api/traces/{trace_id}", _around(item), accept=PROTOBUF, expect=(200, 404))
        if answer.status == 404:
            return Found(0, SPANS.to_frame(), ("a trace that the search had listed was not there when asked for",))
        document = {} if PROTOBUF in answer.content_type else answer.json()
        spans = _from_protobuf(answer) if PROTOBUF in answer.content_type else decoded(document, answer.url)
        return Found(1, spans.spans, (*rejection_notes(spans), *_partial(document)))


def _around(item: Json) -> dict[str, int]:
    """A window, in seconds, that holds the whole trace: it narrows the blocks to read."""
    start_s = int(item.get("startTimeUnixNano") or 0) / 1e9
    if not start_s:
        return {}
    return {"start": floor(start_s - _MARGIN_S), "end": ceil(start_s + int(item.get("durationMs") or 0) / 1e3 + _MARGIN_S)}


def _from_protobuf(answer: Answer) -> Decoded:
    """Tempo's Trace message has its resource spans where an OTLP export request has them."""
    try:
        return decode_traces(answer.body)
    except BadInputError as error:
        raise SourceError(f"{answer.url}: {error}") from error


def _partial(document: Json) -> tuple[str, ...]:
    if document.get("status") in ("PARTIAL", 1):
        return (f"a trace came back partial ({document.get('message') or 'no reason given'}): spans are missing",)
    return ()


def _unfinished(document: Json) -> tuple[str, ...]:
    """A note when the search gave up before it had looked everywhere."""
    metrics = document.get("metrics") or {}
    done, total = (int(metrics.get(name) or 0) for name in ("completedJobs", "totalJobs"))
    if done < total:
        return (f"a search looked at {done} of {total} parts of its window only: traces are missing",)
    return ()


PULLER = Puller("tempo", Settings, read)
