"""Builders of call rows: a test states only what it is about."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs

from meshslo.telemetry.schema import conform
from meshslo.telemetry.vocabulary import hop

EPOCH = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
_ids = count(1)


def make_call(**columns: Any) -> dict[str, Any]:
    """One call as a dict of columns: a 1 s `ok` of gateway>generator at server vantage, but for what is given.

    `at_s` shifts the start from EPOCH; `caller`/`callee` set the hop.
    """
    number = next(_ids)
    at_s = columns.pop("at_s", 0.0)
    row: dict[str, Any] = {
        "trace_id": number.to_bytes(16, "big"),
        "span_id": number.to_bytes(8, "big"),
        "start": EPOCH + timedelta(seconds=at_s),
        "duration_s": 1.0,
        "caller": "gateway",
        "callee": "generator",
        "vantage": "server",
        "route": "/v1/chat",
        "outcome": "ok",
        "model": "m",
        "tenant": "t",
        "streaming": True,
        "attempt": 1,
        "weight": 1.0,
        **columns,
    }
    row.setdefault("hop", hop(row["caller"], row["callee"]))
    return row


def make_calls(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """A frame of the canonical schema from the dicts of `make_call`."""
    return conform(pl.from_dicts(rows, infer_schema_length=None))


def served_streams(at_s: np.ndarray, **columns: Any) -> pl.DataFrame:
    """Streams of gateway>generator at server vantage, so many seconds after EPOCH, a column each; NaN is what was not seen."""
    ids = range(1, len(at_s) + 1)
    given = {
        "trace_id": [number.to_bytes(16, "big") for number in ids],
        "span_id": [number.to_bytes(8, "big") for number in ids],
        "start": pl.Series((at_s * 1e9).astype(np.int64)).cast(pl.Duration("ns")),
        **columns,
    }
    everywhere = {"caller": "gateway", "callee": "generator", "hop": "gateway>generator", "vantage": "server"}
    frame = pl.DataFrame(given).with_columns(
        cs.float().fill_nan(None),
        start=pl.lit(EPOCH, dtype=pl.Datetime("ns", "UTC")) + pl.col("start"),
        streaming=pl.lit(value=True),
        **{name: pl.lit(word) for name, word in (everywhere | {"route": "/v1/chat", "model": "m"}).items()},
    )
    return conform(frame)
