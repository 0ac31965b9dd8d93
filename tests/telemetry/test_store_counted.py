"""The running counts: what they count, that they add up, that they stay bounded and in step with the stored calls."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshslo.telemetry.store import ingest, open_store
from meshslo.telemetry.store.counted import COUNTS, EDGES_S, LABELS, add_counts, count_calls, read_counts
from meshslo.telemetry.store.ingest import IngestSettings
from meshslo.telemetry.store.segments import SEALED, fresh_name
from meshslo.telemetry.store.wal import Kind, pack
from tests.support.calls import make_call, make_calls
from tests.support.otlp import make_batch, make_span

NOTHING = pl.DataFrame(schema=COUNTS)


def counted(*calls: dict[str, object]) -> pl.DataFrame:
    return add_counts(NOTHING, count_calls(make_calls(list(calls))))


def amount(counts: pl.DataFrame, measure: str) -> int:
    return int(counts.filter(pl.col("measure") == measure)["count"].sum())


def test_calls_retries_cut_streams_and_tokens_are_counted() -> None:
    counts = counted(
        make_call(output_tokens=10, input_tokens=3),
        make_call(attempt=2, outcome="timeout", output_tokens=5),
        make_call(streaming=False, outcome="timeout", attempt=None),
    )
    measures = ("calls", "retries", "cut_streams", "input_tokens", "output_tokens")
    assert [amount(counts, measure) for measure in measures] == [3, 1, 1, 3, 15]


@pytest.mark.parametrize(("duration_s", "edge"), [(0.0, 0), (0.005, 0), (0.0051, 1), (900.0, 17), (900.1, 18)])
def test_a_value_falls_into_the_first_bucket_whose_edge_it_does_not_exceed(duration_s: float, edge: int) -> None:
    (row,) = counted(make_call(duration_s=duration_s)).filter(pl.col("measure") == "total").to_dicts()
    assert (row["edge"], row["count"], row["sum_s"], row["value_s"]) == (edge, 1, duration_s, duration_s)


def test_phases_that_were_not_seen_are_not_counted() -> None:
    counts = counted(make_call(first_token_s=0.2, max_gap_s=None, duration_s=None))
    assert sorted(set(counts["measure"])) == ["calls", "first_token"]


def test_an_answer_that_comes_whole_counts_for_no_first_token() -> None:
    counts = counted(*(make_call(first_token_s=0.2, streaming=streaming) for streaming in (True, False, None)))
    assert amount(counts, "first_token") == 2


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1000)), max_size=12), st.data())
def test_counting_in_parts_and_adding_equals_counting_at_once(values, data: st.DataObject) -> None:
    calls = [make_call(tenant=tenant, duration_s=duration_s) for tenant, duration_s in values]
    cut = data.draw(st.integers(0, len(calls)))
    parts = NOTHING
    for part in (calls[:cut], calls[cut:]):
        parts = add_counts(parts, count_calls(make_calls(part))) if part else parts
    whole = counted(*calls) if calls else NOTHING
    for name in ("count", "edge", "measure"):
        assert parts.sort(*LABELS, "measure", "edge")[name].to_list() == whole.sort(*LABELS, "measure", "edge")[name].to_list()
    assert parts["sum_s"].sum() == pytest.approx(whole["sum_s"].sum())


def test_combinations_beyond_the_limit_are_counted_together() -> None:
    counts = NOTHING
    for n in range(10):
        counts = add_counts(counts, count_calls(make_calls([make_call(tenant=f"t{n}")])), max_groups=3)
    tenants = counts.filter(pl.col("measure") == "calls").select("tenant", "count").rows()
    assert sorted(tenants) == [("__other__", 7), ("t0", 1), ("t1", 1), ("t2", 1)]


def test_counts_are_in_step_with_what_is_stored_duplicates_included(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store", create=True)
    batch = make_batch([make_span(1), make_span(2)])
    for payload in (batch, batch, make_batch([make_span(3)])):
        path = store.layout.wal / f"{fresh_name()}{SEALED}"
        path.write_bytes(pack(Kind.OTLP_TRACES, 0, payload))
        ingest.ingest(store.layout, IngestSettings(settle_s=0))
    assert amount(read_counts(store.layout), "calls") == store.scan().collect().height == 3
    store.append(make_calls([make_call()]), source="import")
    assert amount(read_counts(store.layout), "calls") == 3, "an import is not the collector's"


def test_edges_go_up() -> None:
    assert list(EDGES_S) == sorted(set(EDGES_S))
