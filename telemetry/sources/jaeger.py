"""Jaeger JSON in files: answers of the query API and exports of the user interface, whole or one trace a line."""

from collections.abc import Iterator

import polars as pl

from meshslo.telemetry.normalize.jaeger import otlp_of_jaeger

from . import Gives, Reading
from .inputs import Stream
from .otlp import documents, gathered, json_of


class Jaeger:
    """Reads Jaeger's own JSON."""

    name = "jaeger"
    gives: Gives = "spans"

    def sniff(self, head: bytes) -> bool:
        """JSON that has Jaeger's spelling of a trace's id."""
        return head.lstrip().startswith((b"{", b"[")) and b'"traceID"' in head and b'"rootServiceName"' not in head

    def read(self, stream: Stream, reading: Reading) -> Iterator[pl.DataFrame]:
        """Frames of spans."""
        yield from gathered(documents(stream), lambda text: otlp_of_jaeger(json_of(text)), reading.tally)


SOURCE = Jaeger()
