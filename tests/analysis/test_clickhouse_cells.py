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


KEYS = ("hop", "route", "model", "tenant")


def spans_table(name: str) -> ClickHouse:
    """An empty table of spans with everything that `clickhouse-init` makes beside it."""
    for left in ("meshslo_live_view", "meshslo_live", "meshslo_cells", "meshslo_fronts"):
        engine().command(f"DROP TABLE IF EXISTS {left}")
    otel_traces.create(engine(), name)
    store = open_clickhouse(engine_url(name))
    *made, _ = statements(store)
    for statement in made:
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
def random_spans() -> tuple[ClickHouse, ExportTraceServiceRequest]:
    store, request = spans_table("lone"), forest(seed=6, traces=200)
    # One insert a service, so that no insert holds a whole trace.
    by_service: dict[str, ExportTraceServiceRequest] = {}
    for resource_spans in request.resource_spans:
        service = next((a.value.string_value for a in resource_spans.resource.attributes if a.key == "service.name"), "")
        by_service.setdefault(service, ExportTraceServiceRequest()).resource_spans.add().CopyFrom(resource_spans)
    for part in by_service.values():
        otel_traces.insert(engine(), "lone", [part])
    return store, request


@pytest.mark.parametrize("bucket", ["1m", "1h", None])
def test_live_cells_are_the_rollup_of_each_span_by_itself(
    random_spans: tuple[ClickHouse, ExportTraceServiceRequest], bucket: str | None
) -> None:
    store, request = random_spans
    assert_equal(live(store, by=KEYS, bucket=bucket), roll_up(by_themselves(request), keys=KEYS, bucket=bucket))


def test_live_cells_are_the_whole_rollup_where_every_span_tells_all() -> None:
    """Spans as our instrumentation writes them: the callee by its name, the caller by baggage, tenant and model on each."""

    def attributes(**said: Any) -> list[KeyValue]:
        named = {name.replace("__", "."): value for name, value in said.items()}
        both = {"tenant.id": "acme", "gen_ai.request.model": "small", "http.route": "/v1/chat"}
        return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in (both | named).items()]

    client, server = [], []
    for trace in range(1, 40):
        outcome = "timeout" if trace % 5 == 0 else "ok"
        ends = {"trace": trace, "at_s": trace, "end_time_unix_nano": OTLP_START_NS + trace * 10**9 + trace * 10**7}
        client.append(
            make_span(
                1000 + trace, kind=3, attributes=attributes(server__address="generator", meshslo__outcome=outcome), **ends
            )
        )
        parent = {"parent_span_id": (1000 + trace).to_bytes(8, "big")}
        said = attributes(meshslo__caller="gateway", meshslo__outcome="ok")
        server.append(make_span(2000 + trace, attributes=said, **ends, **parent))
    requests = make_request(client, "gateway"), make_request(server, "generator")
    store = spans_table("told")
    for request in requests:
        otel_traces.insert(engine(), "told", [request])
    together = ExportTraceServiceRequest(resource_spans=[one for request in requests for one in request.resource_spans])
    calls = to_calls(decode_traces(together.SerializeToString()).spans)
    assert set(calls["hop"]) == {"gateway>generator"}
    assert_equal(live(store, by=KEYS, bucket="1m"), roll_up(calls.lazy(), keys=KEYS, bucket="1m"))


def test_kept_cells_are_the_rollup_of_the_settled_minutes() -> None:
    request = forest(seed=4, traces=150)
    store = spans_table("kept")
    otel_traces.insert(engine(), "kept", [request])
    calls = to_calls(decode_traces(request.SerializeToString()).spans.sort("start_ns", "kind", "span_id"))
    *_, fronts, fill = statements(store)
    assert fill.startswith("INSERT INTO `default`.`meshslo_cells`\nWITH")
    store.connection.run(fronts)
    # The statement at two moments: together they count each settled minute once.
    for now_s in (START_NS // 10**9 + 900, START_NS // 10**9 + 1_500):
        store.connection.run(f"INSERT INTO meshslo_cells {settled_cells(store, now_ns=str(now_s * 10**9))}")
    settled = calls.lazy().filter(pl.col("start") < MIDDLE + timedelta(seconds=600))
    for keys, bucket in ((("hop", "route", "model", "tenant"), "1m"), (("hop",), "1h")):
        kept = open_store(engine_url("kept") + "&cells=meshslo_cells").rollup(by=keys, bucket=bucket)
        assert_equal(kept, roll_up(settled, keys=keys, bucket=bucket))


def test_a_report_of_kept_cells_needs_no_spans(random_spans: tuple[ClickHouse, ExportTraceServiceRequest]) -> None:
    """As where spans are kept for days and rollups for months."""
    name = random_spans[0].address.table.name
    kept = open_store(engine_url(name) + f"&cells={LIVE}")
    before = kept.report(by=["hop"]).frame
    engine().command(f"TRUNCATE TABLE {name}")
    assert before.height
    assert_frame_equal(kept.report(by=["hop"]).frame, before)
