"""Calls from ClickHouse in place: the OpenTelemetry Collector's exporter writes `otel_traces`, nothing is copied.

Normalising spans to calls is SQL here, generated from the same tables as `telemetry.normalize` and of the same meaning: a
trace is gathered into arrays, and who called whom is worked out within it. So spans of one trace must be on one shard.

`open_clickhouse` gives a `ClickHouse` with `scan` (call rows, normalised by the local code) and `calls` (the SQL of them).
"""

from .address import SCHEMES, Address
from .store import ClickHouse, open_clickhouse

__all__ = ["SCHEMES", "Address", "ClickHouse", "open_clickhouse"]
