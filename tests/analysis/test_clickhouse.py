"""The rollup counted in ClickHouse is the local one, bucket for bucket, on the same spans."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from meshslo.analysis import clickhouse, open_store
from meshslo.analysis.api import from_calls
from meshslo.analysis.clickhouse import bucket_ns
from meshslo.analysis.folding import KEYS, Rollup
from meshslo.analysis.rollup import roll_up
from meshslo.telemetry.clickhouse import ClickHouse, open_clickhouse
from meshslo.telemetry.clickhouse.connection import SETTINGS
from meshslo.telemetry.errors import BadInputError, StoreError
from meshslo.telemetry.normalize import decode_traces, to_calls
from meshslo.telemetry.vocabulary import PHASES
from tests.support import otel_traces
from tests.support.chdb import engine, engine_url
from tests.support.forests import START_NS, forest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chdb")]

MIDDLE = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=START_NS // 10**9 + 600)


@pytest.fixture(scope="module")
def spans() -> tuple[str, pl.DataFrame]:
    """A table of random traces, and the calls that the local code makes of them."""
    request = forest(seed=3, traces=300)
    otel_traces.create(engine(), "rollups")
    otel_traces.insert(engine(), "rollups", [request])
    table = decode_traces(request.SerializeToString()).spans
    return engine_url("rollups"), to_calls(table.sort("start_ns", "kind", "span_id"))


def assert_equal(counted: Rollup, local: Rollup) -> None:
    assert counted.cells.height
    assert_frame_equal(counted.cells, local.cells, check_exact=True, check_column_order=False)
    assert_frame_equal(counted.totals, local.totals, rel_tol=1e-9)


def test_every_bucket_holds_the_same_count(spans: tuple[str, pl.DataFrame]) -> None:
    url, calls = spans
    keys = ("hop", "route", "model", "tenant")
    assert_equal(open_store(url).rollup(by=keys, bucket="1m"), roll_up(calls.lazy(), keys=keys, bucket="1m"))


def test_other_keys_and_a_window(spans: tuple[str, pl.DataFrame]) -> None:
    url, calls = spans
    inside = calls.lazy().filter(pl.col("start") >= MIDDLE)
    counted = open_store(url).rollup(by=("callee", "zone"), bucket="5m", phases=("total",), since=MIDDLE)
    assert_equal(counted, roll_up(inside, keys=("callee", "zone"), bucket="5m", phases=("total",)))


def test_a_report_in_place_is_the_report_of_the_calls(spans: tuple[str, pl.DataFrame]) -> None:
    url, calls = spans
    # With bursts the same statement is asked once more, in time buckets.
    stores = open_store(url), from_calls(calls)
    in_place, local = (store.report(by=["hop", "model"], bursts=False) for store in stores)
    assert_frame_equal(in_place.frame, local.frame, rel_tol=1e-9)


@pytest.fixture(scope="module")
def two_shards() -> Iterator[tuple[str, pl.DataFrame]]:
    """A table that shows each of two shards the traces that a Distributed table would give it, and all the calls.

    The engine has no cluster: `remote` of this machine twice stands for it, as it plans and runs the same.
    """
    request = forest(seed=8, traces=60)
    otel_traces.create(engine(), "whole")
    otel_traces.insert(engine(), "whole", [request])
    mine = "cityHash64(TraceId) % 2 = shardNum() - 1"
    engine().command(f"CREATE OR REPLACE VIEW sharded AS SELECT * FROM default.whole WHERE {mine} OR shardNum() = 0")
    whole = clickhouse.statement

    def over_two(*args: Any) -> str:
        return whole(*args).replace("cluster(`prod`, ", "remote('127.0.0.1,127.0.0.1', ")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(clickhouse, "statement", over_two)
        spans = decode_traces(request.SerializeToString()).spans
        yield engine_url("sharded") + "&cluster=prod", to_calls(spans.sort("start_ns", "kind", "span_id"))


def test_shards_count_their_own_traces_and_the_counts_add_up(two_shards: tuple[str, pl.DataFrame]) -> None:
    url, calls = two_shards
    local = roll_up(calls.lazy(), keys=("hop",), bucket=None, phases=("total",))
    assert_equal(open_store(url).rollup(by=("hop",), bucket=None, phases=("total",)), local)


def test_shards_aggregate_before_anything_travels(two_shards: tuple[str, pl.DataFrame]) -> None:
    """The plan of the whole statement, for shards elsewhere: they send states of groups, which here are only merged."""
    store = open_clickhouse(two_shards[0])
    (part,) = store.slices(None, None, KEYS)
    whole = clickhouse.statement(store, part.calls, KEYS, "1m", PHASES)
    settings = {**SETTINGS, "prefer_localhost_replica": 0}
    rows = engine().query(f"EXPLAIN {whole}", parameters=part.parameters, settings=settings).result_rows
    steps = [line for line in (row[0].strip("│└─ ") for row in rows) if line and ":" not in line]
    assert steps == ["MergingAggregated", "ReadFromRemote (Read from remote replica)"]


def test_an_empty_table_says_so() -> None:
    otel_traces.create(engine(), "empty")
    with pytest.raises(StoreError, match=r"no spans in .*does the Collector's exporter write to this table"):
        open_store(engine_url("empty")).report()


def test_keys_that_calls_in_clickhouse_do_not_have(spans: tuple[str, pl.DataFrame]) -> None:
    with pytest.raises(BadInputError, match="not keys or phases of calls in ClickHouse: caller_identity; keys are hop"):
        open_store(spans[0]).rollup(by=("caller_identity",))


@pytest.mark.parametrize("bucket", ["1w", "1mo", "0m", "", "m"])
def test_buckets_without_a_fixed_length(bucket: Any) -> None:
    with pytest.raises(BadInputError, match="has no fixed length"):
        bucket_ns(bucket)


def test_spans_are_fetched_once_a_verb(spans: tuple[str, pl.DataFrame], monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(spans[0])
    fetched: list[object] = []
    whole = ClickHouse._spans

    def counting(self: ClickHouse, begin: datetime, end: datetime) -> pl.DataFrame:
        fetched.append(begin)
        return whole(self, begin, end)

    monkeypatch.setattr(ClickHouse, "_spans", counting)
    zones = [{"zone": zone} for zone in spans[1]["zone"].drop_nulls().unique().sort()[:2]]
    for verb in (store.chain, store.recommend, store.backtest, store.tokens, lambda: store.compare(*zones, by=["hop"])):
        fetched.clear()
        verb()
        assert len(fetched) == 1


def test_chains_and_comparisons_in_place_are_those_of_the_calls() -> None:
    request = forest(seed=3, traces=40)
    otel_traces.create(engine(), "chains")
    otel_traces.insert(engine(), "chains", [request])
    calls = to_calls(decode_traces(request.SerializeToString()).spans.sort("start_ns", "kind", "span_id"))
    in_place, local = open_store(engine_url("chains")), from_calls(calls)
    assert in_place.chain().to_json() == local.chain().to_json()
    zones = [{"zone": zone} for zone in calls["zone"].drop_nulls().unique().sort()[:2]]
    (here, there) = (store.compare(*zones, by=["hop"]) for store in (in_place, local))
    assert here.differences == there.differences
