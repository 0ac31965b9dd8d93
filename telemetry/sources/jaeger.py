"""Jaeger JSON in files: answers of the query API and exports of the user interface, whole or one trace a line."""

import json
from collections.abc import Iterator

import polars as pl

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.normalize import Decoded
from meshslo.telemetry.normalize.decode import decode_request
from meshslo.telemetry.normalize.jaeger import otlp_of_jaeger
from meshslo.telemetry.normalize.otlp_json import request_of

from . import Gives, Reading
from .inputs import Stream
from .otlp import documents, gathered
from .tally import Tally


class Jaeger:
    """Reads Jaeger's own JSON."""

    name = "jaeger"
    gives: Gives = "spans"

    def sniff(self, head: bytes) -> bool:
        """JSON that has Jaeger's spelling of a trace's id."""
        return head.lstrip().startswith((b"{", b"[")) and b'"traceID"' in head and b'"rootServiceName"' not in head

    def read(self, stream: Stream, reading: Reading) -> Iterator[pl.DataFrame]:
        """Frames of spans."""
        yield from gathered(_traces(stream, reading.tally), reading.tally)


def _traces(stream: Stream, tally: Tally) -> Iterator[tuple[int, Decoded]]:
    for line, text in documents(stream):
        try:
            yield line, decode_request(request_of(otlp_of_jaeger(json.loads(text))))
        except ValueError as error:
            tally.refuse(line, f"no JSON: {error}")
        except BadInputError as error:
            tally.refuse(line, str(error))


SOURCE = Jaeger()
