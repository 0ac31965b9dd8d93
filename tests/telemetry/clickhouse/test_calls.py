"""The SQL of calls against the local code, on the same spans: every row, every column."""

from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from meshslo.telemetry.clickhouse import ClickHouse, open_clickhouse
from meshslo.telemetry.clickhouse.calls_sql import WORDS
from meshslo.telemetry.errors import SourceError, StoreError
from meshslo.telemetry.normalize import decode_traces, to_calls
from meshslo.telemetry.normalize.otlp_json import json_request
from tests.support import otel_traces
from tests.support.chdb import engine, engine_url
from tests.support.forests import forest
from tests.support.shared import ROOT, shared

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chdb")]

SECONDS: Final = ("duration_s", "first_byte_s", "first_token_s", "max_gap_s", "open_gap_s")
COLUMNS: Final = ("trace", "start_ns", *SECONDS, "outcome", "vantage", "streaming", "weight", *WORDS)
ENVOY: Final = ROOT / "tests/telemetry/fixtures/envoy"


def recorded_envoy() -> list[Any]:
    return [json_request(line) for path in sorted(ENVOY.glob("*.jsonl")) for line in path.read_text().splitlines()]


def recorded_istio() -> list[Any]:
    return [json_request(shared("data", "otlp", "kiali_tempo_bookinfo_trace.json").read_bytes())]


def written_out() -> list[Any]:
    names = ("jaeger_otel_traces_01.json", "opentelemetry_proto_trace.json")
    return [json_request(Path(shared("data", "otlp", name)).read_bytes()) for name in names]


def random_forests() -> list[Any]:
    return [forest(seed=1, traces=200)]


def filled(table: str, requests: list[Any], **how: Any) -> ClickHouse:
    client = engine()
    otel_traces.create(client, table)
    otel_traces.insert(client, table, requests, **how)
    return open_clickhouse(engine_url(table))


def locally(requests: list[Any]) -> pl.DataFrame:
    spans = pl.concat([decode_traces(request.SerializeToString()).spans for request in requests])
    return to_calls(spans.sort("start_ns", "kind", "span_id"))


def in_place(store: ClickHouse) -> pl.DataFrame:
    """Every call that the SQL gives; '' as null."""
    frames = [store.connection.frame(part.calls.sql(), part.parameters) for part in store.slices(None, None, WORDS)]
    texts = [pl.when(pl.col(name) != "").then(name).alias(name) for name in WORDS]
    rows = pl.concat(frames).with_columns(*texts, pl.col("streaming").cast(pl.Boolean), pl.col("start_ns").cast(pl.Int64))
    return rows.select(COLUMNS).sort(COLUMNS)


def as_columns(calls: pl.DataFrame) -> pl.DataFrame:
    rows = calls.with_columns(trace=pl.col("trace_id").bin.encode("hex"), start_ns=pl.col("start").dt.timestamp("ns"))
    return rows.select(COLUMNS).sort(COLUMNS)


@pytest.mark.parametrize("source", [recorded_envoy, recorded_istio, written_out, random_forests])
def test_the_sql_gives_the_calls_that_the_local_code_gives(source: Any) -> None:
    requests = source()
    store = filled("parity", requests)
    expected = as_columns(locally(requests))
    assert expected.height
    assert_frame_equal(in_place(store), expected, abs_tol=1e-9)


def test_spans_fetched_from_the_table_are_those_that_were_sent() -> None:
    requests = [forest(seed=2, traces=200)]
    store, order = filled("fetched", requests), ("trace_id", "span_id", "vantage", "start")
    assert_frame_equal(store.scan().collect().sort(order), locally(requests).sort(order))


def test_kinds_and_statuses_as_the_exporter_wrote_them_before_2024() -> None:
    requests = recorded_envoy()
    assert_frame_equal(in_place(filled("old", requests, spelling="old")), as_columns(locally(requests)), abs_tol=1e-9)


def test_a_span_that_was_inserted_twice_counts_once() -> None:
    requests = recorded_envoy()
    assert_frame_equal(in_place(filled("twice", [*requests, *requests])), as_columns(locally(requests)), abs_tol=1e-9)


def test_hours_of_few_spans_are_one_statement_and_long_ones_one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    filled("hours", [forest(seed=4, traces=60)])
    otel_traces.create(engine(), "days")
    later = "Timestamp + toIntervalHour(7 * (cityHash64(TraceId) % 3)) AS Timestamp"
    engine().command(f"INSERT INTO days SELECT * REPLACE ({later}) FROM hours")
    store = open_clickhouse(engine_url("days"))
    at_once = in_place(store)
    (whole,) = store.slices(None, None, ("hop",))
    assert whole.parameters["until"] - whole.parameters["since"] == (2 * 7 + 1) * 3600 * 10**9
    monkeypatch.setattr("meshslo.telemetry.clickhouse.store.SLICE_SPANS", 1)
    assert len(list(store.slices(None, None, ("hop",)))) == 3
    assert_frame_equal(in_place(store), at_once)


def test_too_many_spans_of_all_hours_together_are_refused_before_one_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled("many", [forest(seed=4, traces=20)])
    spans = engine().query("SELECT count() FROM many").result_rows[0][0]
    monkeypatch.setattr("meshslo.telemetry.clickhouse.store.MOST_SPANS", spans)
    assert store.scan().collect().height
    monkeypatch.setattr("meshslo.telemetry.clickhouse.store.MOST_SPANS", spans - 1)
    monkeypatch.setattr("meshslo.telemetry.clickhouse.store.SLICE_SPANS", 1)
    with pytest.raises(StoreError, match=rf"the window's {spans} spans are too many .* shorter window with --since"):
        store.scan()


def test_no_such_table() -> None:
    store = open_clickhouse(engine_url("nothing_there"))
    with pytest.raises(SourceError, match=r"nothing_there: no such table \((?!.*In scope).*name it with \?table="):
        store.extent()


def test_a_table_of_other_columns() -> None:
    engine().command("CREATE OR REPLACE TABLE others (Timestamp DateTime64(9), x String) ENGINE = Memory")
    engine().command("INSERT INTO others SELECT now64(9), 'x'")
    store = open_clickhouse(engine_url("others"))
    with pytest.raises(SourceError, match="not the columns of the Collector's otel_traces"):
        list(store.slices(None, None, ("hop",)))
