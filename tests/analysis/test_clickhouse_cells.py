"""Rollups kept inside ClickHouse: exact ones on a schedule, and current ones on insert."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from polars.testing import assert_frame_equal

from meshslo.analysis import open_store
from meshslo.analysis.clickhouse_cells import LIVE, settled_cells, statements
from meshslo.analysis.folding import Rollup
from meshslo.analysis.rollup import roll_up
from meshslo.telemetry.clickhouse import ClickHouse, open_clickhouse
from meshslo.telemetry.errors import StoreError
from meshslo.telemetry.normalize import decode_traces, to_calls
from tests.support import otel_traces
from tests.support.chdb import engine, engine_url
from tests.support.forests import START_NS, forest
from tests.support.otlp import START_NS as OTLP_START_NS
from tests.support.otlp import make_request, make_span

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chdb")]

MIDDLE = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=START_NS // 10**9 + 600)


def assert_equal(counted: Rollup, local: Rollup) -> None:
    assert counted.cells.height
    assert_frame_equal(counted.cells, local.cells, check_exact=True, check_column_order=False)
    assert_frame_equal(counted.totals, local.totals, rel_tol=1e-9)


LiveSpans = tuple[ClickHouse, ExportTraceServiceRequest, ExportTraceServiceRequest]
NEXT_HOUR = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=START_NS // 10**9 + 3600)
KEYS = ("hop", "route", "model", "tenant")


def spans_table(name: str) -> ClickHouse:
    """An empty table of spans with the view that `clickhouse-init` makes beside it."""
    for left in ("meshslo_live_view", "meshslo_live", "meshslo_cells", "meshslo_fronts"):
        engine().command(f"DROP TABLE IF EXISTS {left}")
    otel_traces.create(engine(), name)
    store = open_clickhouse(engine_url(name))
    _, made, view, *_ = statements(store)
    for statement in (made, view):
        store.connection.run(statement)
    return store


def by_themselves(request: ExportTraceServiceRequest) -> pl.LazyFrame:
    """The calls of a request if each of its spans were a trace of its own."""
    spans = decode_traces(request.SerializeToString()).spans
    alone = pl.Series("trace_id", [number.to_bytes(16, "big") for number in range(1, spans.height + 1)])
    return to_calls(spans.with_columns(alone)).lazy()


def live(store: ClickHouse, **what: Any) -> Rollup:
    return open_store(engine_url(store.address.table.name) + f"&cells={LIVE}").rollup(**what)


@pytest.fixture(scope="module")
def live_spans() -> tuple[ClickHouse, ExportTraceServiceRequest, ExportTraceServiceRequest]:
    """A table with what its view makes of random spans, and of those that tell all, an hour later; and the spans of both."""
    store, random, told = spans_table("lone"), forest(seed=6, traces=200), told_spans()
    # Two inserts, of services apart, so that hardly any holds a whole trace: each costs the view a second.
    inserts = [ExportTraceServiceRequest(), ExportTraceServiceRequest()]
    for resource_spans in (*random.resource_spans, *told.resource_spans):
        service = next((a.value.string_value for a in resource_spans.resource.attributes if a.key == "service.name"), "")
        inserts[len(service) > len("reranker")].resource_spans.add().CopyFrom(resource_spans)
    for insert in inserts:
        otel_traces.insert(engine(), "lone", [insert])
    return store, random, told


@pytest.mark.parametrize("bucket", ["1m", "1h", None])
def test_live_cells_are_the_rollup_of_each_span_by_itself(live_spans: LiveSpans, bucket: str | None) -> None:
    store, random, _ = live_spans
    kept = live(store, by=KEYS, bucket=bucket, until=NEXT_HOUR)
    assert_equal(kept, roll_up(by_themselves(random), keys=KEYS, bucket=bucket))


def told_spans() -> ExportTraceServiceRequest:
    """Spans as our instrumentation writes them: the callee by its name, the caller by baggage, tenant and model on each."""

    def attributes(**said: Any) -> list[KeyValue]:
        named = {name.replace("__", "."): value for name, value in said.items()}
        both = {"tenant.id": "acme", "gen_ai.request.model": "small", "http.route": "/v1/chat"}
        return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in (both | named).items()]

    client, server = [], []
    for trace in range(1, 40):
        outcome = "timeout" if trace % 5 == 0 else "ok"
        at_s = 3600 + trace
        ends = {"trace": trace, "at_s": at_s, "end_time_unix_nano": OTLP_START_NS + at_s * 10**9 + trace * 10**7}
        client.append(
            make_span(
                1000 + trace, kind=3, attributes=attributes(server__address="generator", meshslo__outcome=outcome), **ends
            )
        )
        parent = {"parent_span_id": (1000 + trace).to_bytes(8, "big")}
        said = attributes(meshslo__caller="gateway", meshslo__outcome="ok")
        server.append(make_span(2000 + trace, attributes=said, **ends, **parent))
    requests = make_request(client, "gateway"), make_request(server, "generator")
    return ExportTraceServiceRequest(resource_spans=[one for request in requests for one in request.resource_spans])


def test_live_cells_are_the_whole_rollup_where_every_span_tells_all(live_spans: LiveSpans) -> None:
    store, _, told = live_spans
    calls = to_calls(decode_traces(told.SerializeToString()).spans)
    assert set(calls["hop"]) == {"gateway>generator"}
    kept = live(store, by=KEYS, bucket="1m", since=NEXT_HOUR)
    assert_equal(kept, roll_up(calls.lazy(), keys=KEYS, bucket="1m"))


def test_kept_cells_are_the_rollup_of_the_settled_minutes() -> None:
    request = forest(seed=4, traces=150)
    otel_traces.create(engine(), "kept")
    otel_traces.insert(engine(), "kept", [request])
    store = open_clickhouse(engine_url("kept"))
    for left in ("meshslo_cells", "meshslo_fronts"):
        engine().command(f"DROP TABLE IF EXISTS {left}")
    calls = to_calls(decode_traces(request.SerializeToString()).spans.sort("start_ns", "kind", "span_id"))
    cells, _, _, list_of_fronts, fronts, fill = statements(store)
    assert fill.startswith("INSERT INTO `default`.`meshslo_cells`\nWITH")
    for statement in (cells, list_of_fronts, fronts):
        store.connection.run(statement)
    with pytest.raises(StoreError, match=r"no rollups in meshslo_cells .* does meshslo clickhouse-init --apply run every"):
        open_store(engine_url("kept") + "&cells=meshslo_cells").report()
    # The statement at two moments: together they count each settled minute once.
    for now_s in (START_NS // 10**9 + 900, START_NS // 10**9 + 1_500):
        store.connection.run(f"INSERT INTO meshslo_cells {settled_cells(store, now_ns=str(now_s * 10**9))}")
    settled = calls.lazy().filter(pl.col("start") < MIDDLE + timedelta(seconds=600))
    for keys, bucket in ((("hop", "route", "model", "tenant"), "1m"), (("hop",), "1h")):
        kept = open_store(engine_url("kept") + "&cells=meshslo_cells").rollup(by=keys, bucket=bucket)
        assert_equal(kept, roll_up(settled, keys=keys, bucket=bucket))


def test_a_report_of_kept_cells_needs_no_spans(live_spans: LiveSpans) -> None:
    """As where spans are kept for days and rollups for months."""
    name = live_spans[0].address.table.name
    kept = open_store(engine_url(name) + f"&cells={LIVE}")
    before = kept.report(by=["hop"]).frame
    engine().command(f"TRUNCATE TABLE {name}")
    assert before.height
    assert_frame_equal(kept.report(by=["hop"]).frame, before)
