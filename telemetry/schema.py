"""The canonical call row: one attempt of one service calling another, as one vantage saw it.

One Arrow schema, one place. Every source ends in these columns; everything after them reads nothing else.
"""

from typing import Final

import polars as pl
import pyarrow as pa

_WORD = pa.dictionary(pa.int32(), pa.string())

CALLS: Final = pa.schema(
    [
        # Identity of the span the row came from.
        ("trace_id", pa.binary(16)),
        ("span_id", pa.binary(8)),
        ("parent_span_id", pa.binary(8)),
        # When, and how long each phase took; null where not seen.
        pa.field("start", pa.timestamp("ns", tz="UTC"), nullable=False),
        ("duration_s", pa.float64()),
        ("first_byte_s", pa.float64()),
        ("first_token_s", pa.float64()),
        ("max_gap_s", pa.float64()),
        ("open_gap_s", pa.float64()),
        ("chunks", pa.uint32()),
        # Who called whom, and where it ran.
        ("caller", _WORD),
        ("callee", _WORD),
        ("namespace", _WORD),
        ("pod", _WORD),
        ("zone", _WORD),
        ("cluster", _WORD),
        ("version", _WORD),
        ("peer", _WORD),
        ("caller_identity", _WORD),
        ("callee_identity", _WORD),
        ("mtls", pa.bool_()),
        # What was asked, and who saw it.
        pa.field("vantage", _WORD, nullable=False),
        pa.field("hop", _WORD, nullable=False),
        ("route", _WORD),
        ("method", _WORD),
        ("protocol", _WORD),
        # How it ended.
        ("status_code", pa.int16()),
        ("grpc_status", pa.int8()),
        ("error_type", _WORD),
        ("response_flags", _WORD),
        pa.field("outcome", _WORD, nullable=False),
        # Inference.
        ("model", _WORD),
        ("provider", _WORD),
        ("tenant", _WORD),
        ("operation", _WORD),
        ("streaming", pa.bool_()),
        ("input_tokens", pa.uint32()),
        ("output_tokens", pa.uint32()),
        # Retries and sampling.
        ("attempt", pa.uint8()),
        ("weight", pa.float64()),
    ]
)
"""Columns, types and units of a call; names ending in `_s` are seconds. `weight` is 1 / sampling probability, null unknown."""

COLUMNS: Final[tuple[str, ...]] = tuple(CALLS.names)

WORDS: Final[frozenset[str]] = frozenset(field.name for field in CALLS if field.type == _WORD)
"""Columns of repeated strings: dictionary-encoded in files, categorical or string in frames."""


def _polars_type(kind: pa.DataType) -> pl.DataType:
    """The frame type of a column: identifiers are Binary, words are String (Parquet keeps the dictionary)."""
    if pa.types.is_dictionary(kind):
        return pl.String()
    if pa.types.is_fixed_size_binary(kind):
        return pl.Binary()
    if pa.types.is_timestamp(kind):
        return pl.Datetime("ns", "UTC")
    return {
        pa.float64(): pl.Float64(),
        pa.uint32(): pl.UInt32(),
        pa.uint8(): pl.UInt8(),
        pa.int16(): pl.Int16(),
        pa.int8(): pl.Int8(),
        pa.bool_(): pl.Boolean(),
    }[kind]


FRAME: Final = pl.Schema({field.name: _polars_type(field.type) for field in CALLS})
"""The same row as Polars sees it."""

REQUIRED: Final[tuple[str, ...]] = tuple(field.name for field in CALLS if not field.nullable)


def conform(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with exactly the columns of a call row, in order; missing ones are null.

    Raises ValueError naming columns that are not part of the row, or a required column that has nulls.
    """
    unknown = sorted(set(frame.columns) - set(COLUMNS))
    if unknown:
        raise ValueError(f"not columns of a call: {', '.join(unknown)}; allowed are {', '.join(COLUMNS)}")
    conformed = frame.select(
        pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in FRAME.items()
    )
    empty = [name for name in REQUIRED if conformed[name].null_count()]
    if empty:
        raise ValueError(f"calls without {', '.join(empty)}: every call needs them")
    return conformed


def to_arrow(frame: pl.DataFrame) -> pa.Table:
    """`frame` as an Arrow table of the schema `CALLS`, words dictionary-encoded."""
    return pa.table({field.name: _column(frame.get_column(field.name), field.type) for field in CALLS}, schema=CALLS)


def _column(series: pl.Series, kind: pa.DataType) -> pa.ChunkedArray:
    if series.null_count() == len(series):
        return pa.chunked_array([pa.nulls(len(series), kind)])
    # Views of strings as they are: the older types would have each copied first.
    values = series.to_arrow(compat_level=pl.CompatLevel.newest())
    if pa.types.is_dictionary(kind):
        return pa.chunked_array([values.dictionary_encode().cast(kind)])
    return pa.chunked_array([values.cast(kind)])


def from_arrow(table: pa.Table) -> pl.DataFrame:
    """The frame of an Arrow table of calls; the inverse of `to_arrow`."""
    plain = table.cast(pa.schema([pa.field(f.name, pa.string() if f.name in WORDS else f.type) for f in table.schema]))
    frame = pl.DataFrame(plain)
    return frame.cast({name: FRAME[name] for name in frame.columns})
