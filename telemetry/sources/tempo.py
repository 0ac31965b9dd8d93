"""Answers of Grafana Tempo, saved: a trace by its id, `{"batches": [...]}` (older) or `{"trace": {"resourceSpans": [...]}}`."""

from collections.abc import Iterator

import polars as pl

from meshslo.telemetry.errors import BadInputError

from . import Gives, Reading
from .inputs import Stream
from .otlp import SOURCE as OTLP


class Tempo:
    """Reads traces as Tempo answers them: OTLP/JSON with base64 ids and enum names, or its protobuf."""

    name = "tempo"
    gives: Gives = "spans"

    def sniff(self, head: bytes) -> bool:
        """JSON with `batches` (newer answers read like any OTLP), or a search answer, which `read` explains."""
        return head.lstrip().startswith(b"{") and (b'"batches"' in head or _is_search(head))

    def read(self, stream: Stream, reading: Reading) -> Iterator[pl.DataFrame]:
        """Frames of spans; BadInputError for a search answer, which holds none."""
        if _is_search(stream.head()):
            raise BadInputError(
                f"{stream.source.name} is the answer to a search and holds no whole trace; save /api/v2/traces/ID of each, "
                f"or use `meshslo pull tempo URL`"
            )
        yield from OTLP.read(stream, reading)


def _is_search(head: bytes) -> bool:
    return b'"rootTraceName"' in head or b'"rootServiceName"' in head


SOURCE = Tempo()
