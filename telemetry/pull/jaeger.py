"""Jaeger's query service: API v3 (OTLP-shaped, the only search since 2.21), else the older JSON API.

A search needs a service and returns whole traces, the newest first, up to a limit: no random sample. So each service is asked
for windows narrow enough to be answered in full.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import polars as pl

from meshslo.telemetry.errors import BadInputError, SourceError
from meshslo.telemetry.normalize import Decoded
from meshslo.telemetry.normalize.jaeger import otlp_of_jaeger

from . import Ask, Batch, Puller
from .http import Params, Server
from .windows import Found, Narrowing, Window, calls_of, decoded, narrowed, rejection_notes, slices, tally

NO_V3: Final = (404, 405, 501)
"""How a server without API v3 answers to it, unless with its user interface's page."""


@dataclass(frozen=True)
class Settings:
    """What to ask a Jaeger for."""

    service: tuple[str, ...] = field(
        default=(), metadata={"help": "Only traces that touch this service (repeat); else of all."}
    )
    limit: int = field(default=500, metadata={"help": "Traces a search may return before its window is halved."})
    slice_s: float = field(default=600.0, metadata={"help": "Seconds that one step of the pull covers."})


class Api(Protocol):
    """A version of the query API."""

    def services(self) -> list[str]:
        """Names of the services with spans."""

    def search(self, service: str, window: Window, limit: int) -> Decoded:
        """Spans of whole traces that touch `service` within `window`."""


@dataclass(frozen=True)
class V3:
    """`/api/v3`; every parameter is given in both spellings, as servers from 1.23 to 2.20 know the second one only."""

    server: Server
    known: tuple[str, ...]

    def services(self) -> list[str]:
        """See Api."""
        return list(self.known)

    def search(self, service: str, window: Window, limit: int) -> Decoded:
        """See Api; an empty window is answered with 404."""
        since, until = (_rfc3339(moment) for moment in window)
        params: Params = {
            "query.serviceName": service,
            "query.startTimeMin": since,
            "query.startTimeMax": until,
            "query.searchDepth": limit,
            "query.rawTraces": "true",
            "query.service_name": service,
            "query.start_time_min": since,
            "query.start_time_max": until,
            "query.num_traces": limit,
            "query.raw_traces": "true",
        }
        answer = self.server.get("/api/v3/traces", params, expect=(200, 404))
        if answer.status == 404:
            if b"No traces found" in answer.body or b"trace not found" in answer.body:
                return decoded({"resourceSpans": []}, answer.url)
            raise self.server.refusal(answer)
        document = answer.json()
        if isinstance(document, dict) and "error" in document:
            raise SourceError(f"{answer.url} answered with an error: {_message(document['error'])}")
        return decoded(document, answer.url)


@dataclass(frozen=True)
class Legacy:
    """`/api/traces` and its neighbours, in microseconds, removed after 2.20."""

    server: Server

    def services(self) -> list[str]:
        """See Api."""
        document = self.server.json("/api/services")
        names = document.get("data") if isinstance(document, dict) else None
        if not isinstance(document, dict) or "data" not in document or not isinstance(names or [], list):
            raise SourceError(f"{self.server.url}/api/services answered with JSON that lists no services; is this a Jaeger?")
        return [str(name) for name in names or []]

    def search(self, service: str, window: Window, limit: int) -> Decoded:
        """See Api."""
        start, end = (int(moment.timestamp() * 1e6) for moment in window)
        params: Params = {"service": service, "start": start, "end": end, "limit": limit, "raw": "true"}
        document = self.server.json("/api/traces", params)
        url = f"{self.server.url}/api/traces"
        if isinstance(document, dict) and document.get("errors"):
            raise SourceError(f"{url} answered with an error: {_message(document['errors'][0])}")
        try:
            return decoded(otlp_of_jaeger(document), url)
        except BadInputError as error:
            raise SourceError(f"{url}: {error}") from error


def read(ask: Ask) -> Iterator[Batch]:
    """Batches of `slice_s` seconds, the oldest first."""
    settings: Settings = ask.settings
    api = connect(ask.server)
    services = list(settings.service) or api.services()
    rule = Narrowing(settings.limit, timedelta(milliseconds=1))
    first: tuple[str, ...] = (
        f"Jaeger's search returns whole traces, newest first: read in windows of fewer than {settings.limit} traces.",
    )
    for window in slices(ask.since, ask.until, timedelta(seconds=settings.slice_s)):
        found = [part for service in services for part in narrowed(_searcher(api, service, settings.limit), window, rule)]
        notes = (*first, *tally(note for part in found for note in part.notes))
        yield Batch(*window, calls=calls_of(part.content for part in found), notes=notes)
        first = ()


def connect(server: Server) -> Api:
    """The newest API that `server` speaks."""
    answer = server.get("/api/v3/services", expect=(200, *NO_V3))
    if answer.status != 200 or answer.is_page:
        return Legacy(server)
    document = answer.json()
    if not isinstance(document, dict) or (document and not isinstance(document.get("services"), list)):
        raise SourceError(f"{answer.url} answered with JSON that lists no services; is this a Jaeger query service?")
    return V3(server, tuple(str(name) for name in document.get("services", ())))


def _searcher(api: Api, service: str, limit: int) -> Callable[[Window], Found[pl.DataFrame]]:
    def search(window: Window) -> Found[pl.DataFrame]:
        found = api.search(service, window, limit)
        return Found(found.spans["trace_id"].n_unique(), found.spans, rejection_notes(found))

    return search


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _message(error: object) -> str:
    found = (error.get("message") or error.get("msg")) if isinstance(error, dict) else None
    return str(found or error)


PULLER = Puller("jaeger", Settings, read)
