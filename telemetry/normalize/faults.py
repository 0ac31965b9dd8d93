"""Why a span cannot be taken: one rule for each reason, the first that fits is the reason.

In two forms that a test holds together: over columns, where spans are decoded, and for one message, where they are received.
"""

from typing import Any, Final

import polars as pl

LATEST_NS: Final = 2**63 - 1
_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)

FAULTS: Final[dict[str, pl.Expr]] = {
    "trace_id must be 16 bytes and span_id 8": (pl.col("trace_id").bin.size() != 16) | (pl.col("span_id").bin.size() != 8),
    "trace_id or span_id is all zero": (pl.col("trace_id") == _NO_TRACE) | (pl.col("span_id") == _NO_SPAN),
    "parent_span_id must be 8 bytes or absent": ~pl.col("parent_span_id").bin.size().is_in([0, 8]),
    "start_time_unix_nano is missing": pl.col("start") == 0,
    "end_time_unix_nano is missing": pl.col("end") == 0,
    "end_time_unix_nano is before start_time_unix_nano": pl.col("end") < pl.col("start"),
    "end_time_unix_nano is beyond the year 2262": pl.col("end") > LATEST_NS,
}


def faults(spans: pl.DataFrame) -> pl.Series:
    """For each span, the number of its reason in `FAULTS`; null where it can be taken."""
    found = (pl.when(rule).then(pl.lit(number, pl.Int8)) for number, rule in enumerate(FAULTS.values()))
    return spans.select(fault=pl.coalesce(found))["fault"]


def fault(span: Any) -> str | None:
    """Why the message `span` cannot be taken, or None."""
    # Each field is read once: that is most of what receiving a span takes.
    trace_id, span_id, start_ns, end_ns = span.trace_id, span.span_id, span.start_time_unix_nano, span.end_time_unix_nano
    if len(trace_id) != 16 or len(span_id) != 8:
        return "trace_id must be 16 bytes and span_id 8"
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return "trace_id or span_id is all zero"
    if len(span.parent_span_id) not in (0, 8):
        return "parent_span_id must be 8 bytes or absent"
    if not start_ns:
        return "start_time_unix_nano is missing"
    if not end_ns:
        return "end_time_unix_nano is missing"
    if end_ns < start_ns:
        return "end_time_unix_nano is before start_time_unix_nano"
    return "end_time_unix_nano is beyond the year 2262" if end_ns > LATEST_NS else None
