"""Builders of call rows: a test states only what it is about."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import polars as pl

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
