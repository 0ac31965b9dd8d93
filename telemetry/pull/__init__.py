"""Servers that already hold telemetry and answer over HTTP: Jaeger, Tempo, Prometheus. One file each, ending in `PULLER = ...`.

A puller reads a window of time in slices, the oldest first, so that an interrupted pull goes on where it stopped. Packages
of users add theirs through the entry points `meshslo.pullers`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .http import Server

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Ask:
    """What is wanted of a server: everything that began in [since, until), both with a time zone."""

    server: Server
    since: datetime
    until: datetime
    settings: Any
    """The puller's own frozen dataclass, see `Puller.settings`."""


@dataclass(frozen=True)
class Batch:
    """What a server holds of [since, until), as call rows or as metric series.

    Traces come whole: a row may begin outside the window, and come again with the next (the store counts it once).
    """

    since: datetime
    until: datetime
    calls: "pl.DataFrame | None" = None
    """Rows of `telemetry.schema.FRAME`."""
    series: "pl.DataFrame | None" = None
    """Histograms and counters, rows of `telemetry.store.metrics.SERIES`."""
    notes: tuple[str, ...] = ()
    """Sentences the user must see: what came back partial, what the server warned of, what the figures cannot say."""


@dataclass(frozen=True)
class Puller:
    """A kind of server. Its settings' fields become flags: each has a default and `metadata={"help": ...}`."""

    name: str
    settings: type[Any]
    read: Callable[[Ask], Iterator[Batch]]
    """Yields batches, the oldest first; asking twice gives equal rows. SourceError says in one sentence what went wrong."""
