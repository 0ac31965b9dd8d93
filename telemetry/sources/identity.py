"""Identifiers for calls that come without: the same line of the same content gets the same ones, today and in years.

A hash of our own making, since those of dataframe libraries change between versions: each value is mixed into 64 bits with the
finaliser of SplitMix64 (Steele, Lea, Flood 2014); words go in by their BLAKE2b digest, once for each distinct word.
"""

from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from meshslo.telemetry.schema import COLUMNS

Hash = npt.NDArray[np.uint64]

_IDS: Final = ("trace_id", "span_id", "parent_span_id")
_GOLDEN: Final = 0x9E3779B97F4A7C15


def with_ids(calls: pl.DataFrame, lines: npt.NDArray[np.int64]) -> pl.DataFrame:
    """`calls` with trace_id and span_id where they have none, derived from the row's content and line number."""
    if not calls["trace_id"].null_count() and not calls["span_id"].null_count():
        return calls
    digest = _mixed(lines.astype(np.uint64))
    for place, name in enumerate(COLUMNS):
        if name in calls.columns and name not in _IDS and calls[name].null_count() < calls.height:
            digest = _mixed(digest ^ (_hashed(calls[name]) + np.uint64(place * _GOLDEN % 2**64)))
    trace = [_mixed(digest + np.uint64(salt)) for salt in (1, 2)]
    return calls.with_columns(
        pl.coalesce("trace_id", _binary("trace", trace)).alias("trace_id"),
        pl.coalesce("span_id", _binary("span", [_mixed(digest + np.uint64(3))])).alias("span_id"),
    )


def _mixed(value: Hash) -> Hash:
    mixed = value + np.uint64(_GOLDEN)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _hashed(values: pl.Series) -> Hash:
    """64 bits of each value; equal values give equal bits, null its own."""
    if values.dtype == pl.String:
        words = values.to_arrow().dictionary_encode("encode")
        codes = np.array([_word(word) for word in words.dictionary.to_pylist()], dtype=np.uint64)
        hashed: Hash = codes[words.indices.to_numpy()]
        return hashed
    numbers = values.to_physical().cast(pl.Float64) if not values.dtype.is_temporal() else values.to_physical()
    plain = numbers.fill_null(-1).to_numpy()
    return _mixed(np.ascontiguousarray(plain).view(np.uint64) ^ values.is_null().to_numpy().astype(np.uint64))


def _word(word: str | None) -> int:
    return int.from_bytes(blake2b(b"" if word is None else b"=" + word.encode(), digest_size=8).digest())


def _binary(name: str, parts: list[Hash]) -> pl.Series:
    """The parts of each row end to end, big-endian, as bytes."""
    packed = np.stack(parts, axis=1).astype(">u8")
    fixed = pa.Array.from_buffers(pa.binary(8 * len(parts)), len(packed), [None, pa.py_buffer(packed.tobytes())])
    return pl.Series(name, pl.from_arrow(fixed), dtype=pl.Binary)
