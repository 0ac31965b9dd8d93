"""Reads bytes as a source would, without a store."""

import io
from pathlib import Path

import polars as pl

from meshslo.telemetry.schema import FRAME, conform
from meshslo.telemetry.sources import Reading, sources
from meshslo.telemetry.sources.column_map import ColumnMap
from meshslo.telemetry.sources.inputs import Input, opened
from meshslo.telemetry.sources.tally import Tally
from meshslo.telemetry.sources.words import together


def read(
    data: bytes | Path, source: str = "calls", maps: tuple[str, ...] = (), constants: tuple[str, ...] = ()
) -> tuple[pl.DataFrame, Tally]:
    """The frames of `data` (bytes on standard input, or a file) put together, and the tally."""
    tally = Tally("log")
    each = Input("log", data if isinstance(data, Path) else None)
    stdin = io.BytesIO(data) if isinstance(data, bytes) else None
    with opened(each, stdin) as stream:
        frames = list(sources()[source].read(stream, Reading(tally, ColumnMap.parse(maps, constants))))
    if not frames:
        return pl.DataFrame(schema=FRAME), tally
    return conform(together(frames)) if sources()[source].gives == "calls" else pl.concat(frames), tally


def sniffed(head: bytes) -> str | None:
    """The name of the first source that takes `head` for its own."""
    return next((name for name, source in sources().items() if source.sniff(head)), None)
