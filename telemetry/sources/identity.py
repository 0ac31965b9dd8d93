"""Identifiers for calls that come without: the same line of the same file gets the same ones, today and in years.

A file is known by the call that it begins with, not by its name (logs are moved) nor by its whole content (logs grow, and bad
lines are mended): what a file says again counts once, and files that begin differently share no id, equal as their lines are.
No rule without a memory of files can do more: one call alone is the beginning of every file that begins with it.

A hash of our own making, since those of dataframe libraries change between versions: each value is mixed into 64 bits with the
finaliser of SplitMix64 (Steele, Lea, Flood 2014); words go in by their BLAKE2b digest, once for each distinct word.
"""

from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from meshslo.telemetry.schema import COLUMNS, IDENTITY

from .words import apart

Hash = npt.NDArray[np.uint64]

_IDS: Final = ("trace_id", "span_id", "parent_span_id")
_GOLDEN: Final = 0x9E3779B97F4A7C15
_STRETCH: Final = 2**14


def lacks_ids(calls: pl.DataFrame) -> int:
    """How many of `calls` have no trace_id or no span_id."""
    return max(calls[name].null_count() if name in calls.columns else calls.height for name in IDENTITY)


class Identifier:
    """Identifies the calls of one file, a frame after the other. `origin` tells it from others, besides its first call."""

    def __init__(self, origin: bytes = b"") -> None:
        self._origin = np.uint64(_digest(origin))
        self._beginning: Hash | None = None

    def with_ids(self, calls: pl.DataFrame, lines: npt.NDArray[np.int64]) -> pl.DataFrame:
        """`calls` (words coded) with trace_id and span_id where they have none: from content, line number and the file."""
        lacking = [name for name in IDENTITY if name not in calls.columns or calls[name].null_count()]
        if not lacking:
            return calls
        digest = _digests(calls, lines)
        if self._beginning is None and len(digest):
            self._beginning = _mix(digest[:1] ^ self._origin)
        if self._beginning is not None:
            digest += self._beginning
        return _identified(calls, lacking, _mix(digest))


def _digests(calls: pl.DataFrame, lines: npt.NDArray[np.int64]) -> Hash:
    """64 bits of what each call says and where it stands, whatever other calls are read along with it."""
    digest = _mix(lines.astype(np.uint64))
    for place, name in enumerate(COLUMNS):
        if name in calls.columns and name not in _IDS and calls[name].null_count() < calls.height:
            digest += _hashed(calls[name], np.uint64((place + 1) * _GOLDEN % 2**64))
    return digest


def _identified(calls: pl.DataFrame, lacking: list[str], digest: Hash) -> pl.DataFrame:
    """`calls` with ids made of `digest` where those in `lacking` are null."""
    salts = {"trace_id": (1, 2), "span_id": (3,)}
    derived = {name: _binary(name, [_mix(digest + np.uint64(salt)) for salt in salts[name]]) for name in lacking}
    return calls.with_columns(
        calls[name].zip_with(calls[name].is_not_null(), ids) if name in calls.columns else ids for name, ids in derived.items()
    )


def _mix(value: Hash) -> Hash:
    """`value`, mixed in place: a stretch at a time, so that it stays near the processor."""
    scratch = np.empty(_STRETCH, dtype=np.uint64)
    for first in range(0, len(value), _STRETCH):
        part = value[first : first + _STRETCH]
        shifted = scratch[: len(part)]
        part += np.uint64(_GOLDEN)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            np.right_shift(part, np.uint64(shift), out=shifted)
            part ^= shifted
            part *= np.uint64(factor)
        np.right_shift(part, np.uint64(31), out=shifted)
        part ^= shifted
    return value


def _hashed(values: pl.Series, salt: np.uint64) -> Hash:
    """64 bits of each value; equal values give equal bits, null none: a column without values is as good as absent."""
    if isinstance(values.dtype, pl.Categorical):
        words, places = apart(values)
        digests = np.append(_mix(np.array([_digest(word.encode()) for word in words], dtype=np.uint64) + salt), np.uint64(0))
        return np.take(digests, (places.fill_null(len(words)) if places.null_count() else places).to_numpy())
    numbers = values.to_physical()
    plain = numbers if values.dtype.is_temporal() else numbers.cast(pl.Float64)
    present = plain.fill_null(-1) if values.null_count() else plain
    bits = _mix(present.to_numpy().view(np.uint64) + salt)
    if values.null_count():
        bits[values.is_null().to_numpy()] = 0
    return bits


def _digest(value: bytes) -> int:
    return int.from_bytes(blake2b(value, digest_size=8).digest())


def _binary(name: str, parts: list[Hash]) -> pl.Series:
    """The parts of each row end to end, big-endian, as bytes."""
    packed = np.empty((len(parts[0]), len(parts)), dtype=">u8")
    for place, part in enumerate(parts):
        packed[:, place] = part
    fixed = pa.Array.from_buffers(pa.binary(8 * len(parts)), len(packed), [None, pa.py_buffer(packed)])
    return pl.Series(name, pl.from_arrow(fixed), dtype=pl.Binary)
