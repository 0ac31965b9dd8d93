"""The canonical call row: one attempt of one service calling another, as one vantage saw it.

One Arrow schema, one place. Every source ends in these columns; everything after them reads nothing else.
"""

from typing import Final

import numpy as np
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


IDENTITY: Final[tuple[str, ...]] = ("trace_id", "span_id")
"""Columns that tell rows apart, with the vantage."""


def conform(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with exactly the columns of a call row, in order; missing ones are null.

    Raises ValueError naming columns that are not part of the row, or a required column that has nulls.
    """
    fitted = fit(frame)
    return fitted.select(
        pl.col(name).cast(kind) if name in fitted.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in FRAME.items()
    )


def fit(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` as `conform` has it, without the columns that say nothing; words that are categorical stay so.

    What files hold mostly: columns of nulls would be made, sorted and copied for nothing. The required columns and `IDENTITY`
    are there always. Raises as `conform` does.
    """
    unknown = sorted(set(frame.columns) - set(COLUMNS))
    if unknown:
        raise ValueError(f"not columns of a call: {', '.join(unknown)}; allowed are {', '.join(COLUMNS)}")
    kinds = {name: kind for name, kind in FRAME.items() if name in {*IDENTITY, *REQUIRED} or _says(frame, name)}
    fitted = frame.select(_fitted(frame, name, kind) for name, kind in kinds.items())
    empty = [name for name in REQUIRED if fitted[name].null_count()]
    if empty:
        raise ValueError(f"calls without {', '.join(empty)}: every call needs them")
    return fitted


def _says(frame: pl.DataFrame, name: str) -> bool:
    return name in frame.columns and frame[name].null_count() < frame.height


def _fitted(frame: pl.DataFrame, name: str, kind: pl.DataType) -> pl.Expr:
    if name not in frame.columns:
        return pl.lit(None, dtype=kind).alias(name)
    return pl.col(name) if isinstance(frame.schema[name], pl.Categorical) and name in WORDS else pl.col(name).cast(kind)


def to_arrow(frame: pl.DataFrame) -> pa.Table:
    """`frame` (conformed or fitted) as an Arrow table of the schema `CALLS`, words dictionary-encoded."""
    return pa.table({field.name: _column(frame, field) for field in CALLS}, schema=CALLS)


def _column(frame: pl.DataFrame, field: pa.Field) -> pa.ChunkedArray:
    if not _says(frame, field.name):
        return pa.chunked_array([pa.nulls(frame.height, field.type)])
    series = frame.get_column(field.name)
    if isinstance(series.dtype, pl.Categorical):
        return pa.chunked_array([_dictionary(series, series.dtype.categories.to_series())])
    # Views of strings as they are: the older types would have each copied first.
    values = series.to_arrow(compat_level=pl.CompatLevel.newest())
    if pa.types.is_dictionary(field.type):
        return pa.chunked_array([values.dictionary_encode().cast(field.type)])
    return pa.chunked_array([values.cast(field.type)])


def _dictionary(words: pl.Series, known: pl.Series) -> pa.DictionaryArray:
    """Words coded as places in `known`, with a dictionary of those that occur: the others are none of the file's."""
    codes = words.to_physical().rechunk()
    there = np.zeros(len(known) + 1, dtype=np.bool_)
    there[(codes.fill_null(len(known)) if codes.null_count() else codes).to_numpy()] = True
    if not there[:-1].all():
        codes = pl.Series(np.cumsum(there[:-1]) - 1).gather(codes)
        known = known.filter(pl.Series(there[:-1]))
    # Places in `known` by how they were made: looking each up once more would take longer than all of this.
    return pa.DictionaryArray.from_arrays(codes.cast(pl.Int32).to_arrow(), known.to_arrow().cast(pa.string()), safe=False)


def from_arrow(table: pa.Table) -> pl.DataFrame:
    """The frame of an Arrow table of calls; the inverse of `to_arrow`."""
    plain = table.cast(pa.schema([pa.field(f.name, pa.string() if f.name in WORDS else f.type) for f in table.schema]))
    frame = pl.DataFrame(plain)
    return frame.cast({name: FRAME[name] for name in frame.columns})
