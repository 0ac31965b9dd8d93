"""Chunk times out of the spans that the ASGI instrumentation makes of every message it sends.

`opentelemetry-instrumentation-asgi` ends such an INTERNAL span before the message is sent, so its length means nothing, but it
starts when the chunk was ready. The last body message ends a stream and is empty; where a stream was cut it is missing, and one
chunk too few is counted. The first chunk stands for the first token: what is in it, the span does not say.
Source: opentelemetry-python-contrib, instrumentation-asgi, and its issue 831.
"""

from typing import Final

import polars as pl

from meshslo.telemetry.schema import FRAME

from .roles import Roles

_HEADERS: Final = "http.response.start"
_BODY: Final = "http.response.body"
_COLUMNS: Final = ("headers", "token", "chunks", "max_gap_s", "streaming")


def with_chunk_times(roles: Roles, values: pl.DataFrame) -> pl.DataFrame:
    """`values` whose server rows take from their send spans what they lack of headers, first token, chunks and longest gap."""
    sent = pl.DataFrame({"row": roles.call, "event": roles.spans["asgi_event"], "at": roles.spans["start_ns"]}).filter(
        pl.col("event").is_in([_HEADERS, _BODY]) & (pl.col("row") >= 0)
    )
    if sent.is_empty():
        return values
    seen = values.select(pl.int_range(pl.len(), dtype=pl.Int64).alias("row")).join(
        _streams(sent), on="row", how="left", maintain_order="left"
    )
    server = pl.Series("server", roles.server)
    return values.with_columns(
        pl.when(server).then(pl.coalesce(name, seen[name])).otherwise(name).alias(name) for name in _COLUMNS
    )


def _streams(sent: pl.DataFrame) -> pl.DataFrame:
    """What the messages of each response tell."""
    body = pl.col("at").filter(pl.col("event") == _BODY).sort()
    filled = body.slice(0, pl.max_horizontal(body.len() - 1, pl.lit(1)))
    return sent.group_by("row").agg(
        headers=pl.col("at").filter(pl.col("event") == _HEADERS).min(),
        token=body.first(),
        chunks=filled.len().cast(FRAME["chunks"]),
        max_gap_s=filled.diff().max() / 1e9,
        streaming=pl.when(body.len() > 2).then(True),
    )
