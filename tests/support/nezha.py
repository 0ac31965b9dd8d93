"""Traces of an online shop of ten services, faults injected (IntelligentDDS/Nezha, 22 August 2022): 184,908 spans."""

import polars as pl

from meshslo.telemetry.schema import conform

from .shared import shared


def shop_calls() -> pl.DataFrame:
    """Every span as a call of its own operation, so that all of a trace is there; nothing says how calls ended: all are ok."""
    spans = pl.read_parquet(shared("data", "nezha_onlineboutique", "spans_2022-08-22.parquet"))
    service = pl.col("PodName").str.extract(r"^(\w+?)-")
    return conform(
        spans.select(
            trace_id=pl.col("TraceID").str.decode("hex"),
            span_id=pl.col("SpanID").str.decode("hex"),
            parent_span_id=pl.when(pl.col("ParentID") != "root").then("ParentID").str.decode("hex"),
            start=pl.from_epoch("StartTimeUnixNano", time_unit="ns").dt.replace_time_zone("UTC"),
            duration_s=(pl.col("EndTimeUnixNano") - pl.col("StartTimeUnixNano")) / 1e9,
            vantage=pl.lit("server"),
            caller=pl.lit("shop"),
            callee=service,
            hop=pl.lit("shop>") + service + "/" + pl.col("OperationName"),
            outcome=pl.lit("ok"),
        )
    )
