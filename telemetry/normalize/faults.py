"""Why a span cannot be taken: one rule for each reason, the first that fits is the reason.

In two forms that a test holds together: over columns, where spans are decoded, and for one message, where they are received.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

LATEST_NS: Final = 2**63 - 1
_Flags = npt.NDArray[np.bool_]


def _sized(spans: pa.StructArray, name: str) -> npt.NDArray[np.int32]:
    return np.asarray(pc.binary_length(spans.field(name)))


def _times(spans: pa.StructArray, name: str) -> npt.NDArray[np.uint64]:
    return np.asarray(spans.field(name))


def _is(spans: pa.StructArray, name: str, value: bytes) -> _Flags:
    return np.asarray(pc.equal(spans.field(name), pa.scalar(value, pa.binary())))


FAULTS: Final[dict[str, Callable[[pa.StructArray], _Flags]]] = {
    "trace_id must be 16 bytes and span_id 8": lambda spans: (
        (_sized(spans, "trace_id") != 16) | (_sized(spans, "span_id") != 8)
    ),
    "trace_id or span_id is all zero": lambda spans: _is(spans, "trace_id", bytes(16)) | _is(spans, "span_id", bytes(8)),
    "parent_span_id must be 8 bytes or absent": lambda spans: ~np.isin(_sized(spans, "parent_span_id"), (0, 8)),
    "start_time_unix_nano is missing": lambda spans: _times(spans, "start") == 0,
    "end_time_unix_nano is missing": lambda spans: _times(spans, "end") == 0,
    "end_time_unix_nano is before start_time_unix_nano": lambda spans: _times(spans, "end") < _times(spans, "start"),
    "end_time_unix_nano is beyond the year 2262": lambda spans: _times(spans, "end") > LATEST_NS,
}


def faults(spans: pa.StructArray) -> npt.NDArray[np.int64]:
    """For each span, the number of its reason in `FAULTS`, or -1 where it can be taken."""
    found = np.full(len(spans), -1, dtype=np.int64)
    for number, rule in reversed(list(enumerate(FAULTS.values()))):
        found[rule(spans)] = number
    return found


_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)


def fault(span: Any) -> str | None:
    """Why the message `span` cannot be taken, or None."""
    if len(span.trace_id) != 16 or len(span.span_id) != 8:
        return "trace_id must be 16 bytes and span_id 8"
    if span.trace_id == _NO_TRACE or span.span_id == _NO_SPAN:
        return "trace_id or span_id is all zero"
    if len(span.parent_span_id) not in (0, 8):
        return "parent_span_id must be 8 bytes or absent"
    if not span.start_time_unix_nano:
        return "start_time_unix_nano is missing"
    if not span.end_time_unix_nano:
        return "end_time_unix_nano is missing"
    if span.end_time_unix_nano < span.start_time_unix_nano:
        return "end_time_unix_nano is before start_time_unix_nano"
    return "end_time_unix_nano is beyond the year 2262" if span.end_time_unix_nano > LATEST_NS else None
