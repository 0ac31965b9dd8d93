"""The rollup: what a call counts as in each phase, and that rollups fold in any order."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meshslo.analysis import adding
from meshslo.analysis.histogram import index_of
from meshslo.analysis.rollup import Rollup, roll_up
from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.schema import to_arrow
from meshslo.telemetry.store.hours import write_calls
from meshslo.telemetry.store.kinds import scan_numbered
from meshslo.telemetry.vocabulary import OUTCOMES, PHASES
from tests.support.calls import EPOCH, make_call, make_calls


def rolled(rows: list[dict[str, Any]], **options: Any) -> Rollup:
    return roll_up(make_calls(rows).lazy(), **options)


def role(phase: str, **columns: Any) -> tuple[str, float | None]:
    """How one call enters the estimate of a phase: event, censored, other or unseen; and at how many seconds."""
    rollup = rolled([make_call(**columns)], phases=[phase])
    cell = rollup.cells.row(0, named=True)
    value_s = rollup.totals["max_s"][0]
    if cell["index"] is None:
        assert value_s is None
        return "unseen", None
    assert cell["index"] == index_of([value_s])[0]
    return ("event" if cell["event"] else "censored" if cell["censored"] else "other"), value_s


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [("ok", "event"), ("timeout", "censored"), ("cancelled", "censored"), ("error", "other"), ("rejected", "other")],
)
def test_only_an_ok_call_shows_its_total_and_longest_gap(outcome: str, expected: str) -> None:
    assert role("total", outcome=outcome, duration_s=2.0) == (expected, 2.0)
    assert role("max_gap", outcome=outcome, max_gap_s=0.5) == (expected, 0.5)


def test_a_cut_stream_was_silent_at_least_as_long_as_its_open_gap() -> None:
    assert role("max_gap", outcome="timeout", max_gap_s=0.5, open_gap_s=3.0) == ("censored", 3.0)
    assert role("max_gap", outcome="timeout", open_gap_s=3.0) == ("censored", 3.0)
    assert role("max_gap", outcome="ok", max_gap_s=0.5, open_gap_s=3.0) == ("event", 0.5)


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("phase", ["first_byte", "first_token"])
def test_a_moment_once_seen_is_known_whatever_came_later(phase: str, outcome: str) -> None:
    assert role(phase, outcome=outcome, duration_s=2.0, **{f"{phase}_s": 0.3}) == ("event", 0.3)


@pytest.mark.parametrize("phase", ["first_byte", "first_token"])
def test_a_call_cut_before_the_moment_waited_at_least_its_duration(phase: str) -> None:
    assert role(phase, outcome="timeout", duration_s=2.0) == ("censored", 2.0)
    assert role(phase, outcome="error", duration_s=2.0) == ("unseen", None)
    assert role(phase, outcome="cancelled", duration_s=None) == ("unseen", None)


def test_only_streams_have_a_first_token() -> None:
    assert role("first_token", streaming=False, outcome="timeout") == ("unseen", None)
    assert role("first_token", streaming=None, outcome="timeout") == ("unseen", None)
    assert role("first_token", streaming=None, first_token_s=0.2) == ("event", 0.2)


def test_an_answer_that_comes_whole_says_nothing_of_first_tokens() -> None:
    assert role("first_token", streaming=False, first_token_s=0.2) == ("unseen", None)


def test_a_call_without_a_duration_is_still_counted() -> None:
    rollup = rolled([make_call(duration_s=None), make_call()], phases=["total"])
    assert rollup.calls == 2
    assert rollup.cells.filter(pl.col("index").is_null())["count"].to_list() == [1]


def test_not_a_number_is_not_a_duration() -> None:
    assert role("total", duration_s=float("nan")) == ("unseen", None)


def test_calls_without_a_weight_count_once_and_weights_add_up() -> None:
    cell = rolled([make_call(weight=None), make_call(weight=3.0)], phases=["total"]).cells.row(0, named=True)
    assert (cell["count"], cell["weight"], cell["weight_sq"]) == (2, 4.0, 10.0)


def test_totals_are_exact() -> None:
    totals = rolled([make_call(duration_s=s) for s in (0.25, 1.0, 4.0)], phases=["total"]).totals.row(0, named=True)
    assert (totals["count"], totals["sum_s"], totals["min_s"], totals["max_s"]) == (3, 5.25, 0.25, 4.0)


@pytest.mark.parametrize(
    "wrong", [{"keys": ["hop", "colour"]}, {"keys": ["duration_s"]}, {"phases": ["middle"]}, {"phases": []}]
)
def test_what_calls_do_not_have_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInputError, match=r"colour|duration_s|middle|none given"):
        rolled([make_call()], **wrong)


calls = st.builds(
    make_call,
    at_s=st.integers(0, 7200),
    duration_s=st.none() | st.floats(1e-4, 100.0),
    first_token_s=st.none() | st.floats(1e-4, 100.0),
    outcome=st.sampled_from(OUTCOMES),
    streaming=st.sampled_from([True, False, None]),
    vantage=st.sampled_from(["client", "server"]),
    model=st.sampled_from(["a", "b", None]),
    callee=st.sampled_from(["generator", "retriever"]),
    weight=st.sampled_from([1.0, 4.0]),
)
batches = st.lists(calls, min_size=1, max_size=12)


def same(left: Rollup, right: Rollup) -> None:
    assert (left.keys, left.bucket, left.scale) == (right.keys, right.bucket, right.scale)
    assert_frame_equal(left.cells, right.cells)
    assert_frame_equal(left.totals, right.totals, rel_tol=1e-12, abs_tol=1e-12)


@settings(max_examples=20, deadline=None)
@given(batches, batches, batches)
def test_merging_is_counting_together_in_any_order(
    one: list[dict[str, Any]], two: list[dict[str, Any]], three: list[dict[str, Any]]
) -> None:
    a, b, c = rolled(one), rolled(two), rolled(three)
    same(a.merge(b).merge(c), rolled(one + two + three))
    same(a.merge(b.merge(c)), c.merge(b).merge(a))


@settings(max_examples=15, deadline=None)
@given(batches)
def test_folding_is_counting_with_less(rows: list[dict[str, Any]]) -> None:
    fine = rolled(rows)
    same(fine.by(["hop"]), rolled(rows, keys=["hop"]))
    same(fine.coarsen("1h"), rolled(rows, bucket="1h"))
    same(fine.coarsen(None), rolled(rows, bucket=None))
    same(fine.downscale(3).downscale(1), fine.downscale(1))
    assert fine.calls == fine.downscale(0).coarsen(None).by(["model"]).calls == len(rows)


def test_windows_part_the_whole() -> None:
    rollup = rolled([make_call(at_s=60 * minute) for minute in range(10)], phases=["total"])
    middle = EPOCH + timedelta(minutes=4)
    before, after = rollup.window(until=middle), rollup.window(since=middle)
    assert (before.calls, after.calls) == (4, 6)
    same(before.merge(after), rollup)


def test_a_window_needs_time_buckets() -> None:
    with pytest.raises(ValueError, match="no time buckets"):
        rolled([make_call()], bucket=None).window(since=EPOCH)


def test_rollups_of_different_keys_do_not_merge() -> None:
    with pytest.raises(ValueError, match="does not merge"):
        rolled([make_call()]).merge(rolled([make_call()], keys=["hop"]))


def test_merging_takes_the_coarser_scale() -> None:
    fine = rolled([make_call(duration_s=1.9), make_call(duration_s=1.1)], phases=["total"])
    merged = fine.merge(fine.downscale(0))
    assert merged.scale == 0
    assert merged.cells["count"].to_list() == [4]


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ValueError, match="colour"):
        rolled([make_call()]).by(["colour"])


def test_each_hop_and_phase_takes_the_outermost_vantage_that_saw_it() -> None:
    rows = [
        make_call(vantage="client", first_byte_s=None),
        make_call(vantage="proxy_in", first_byte_s=0.1),
        make_call(vantage="server", first_byte_s=0.1),
        make_call(vantage="server", callee="retriever"),
    ]
    picked = rolled(rows, bucket=None).pick_vantage().cells
    chosen = {(hop, phase): vantage for hop, phase, vantage in picked.select("hop", "phase", "vantage").iter_rows()}
    assert chosen["gateway>generator", "total"] == "client"
    assert chosen["gateway>generator", "first_byte"] == "proxy_in"
    assert chosen["gateway>retriever", "total"] == "server"
    assert picked.filter(phase="total")["count"].sum() == 2


def test_a_vantage_that_only_shows_cuts_does_not_hide_one_that_measures() -> None:
    rows = [make_call(vantage="client", outcome="timeout"), make_call(vantage="server", first_byte_s=0.1)]
    picked = rolled(rows, bucket=None, phases=["first_byte"]).pick_vantage()
    assert picked.vantages() == ("server",)


def test_picking_a_vantage_needs_the_hop() -> None:
    with pytest.raises(ValueError, match="hop"):
        rolled([make_call()], keys=["model"]).pick_vantage()


def test_order_of_calls_changes_nothing() -> None:
    frame = make_calls([make_call(at_s=i, duration_s=0.1 + i) for i in range(50)])
    same(roll_up(frame.lazy()), roll_up(frame.reverse().lazy()))


def test_every_phase_counts_every_call() -> None:
    rollup = rolled([make_call(outcome=outcome) for outcome in OUTCOMES])
    assert rollup.phases == PHASES
    assert rollup.cells.group_by("phase").agg(pl.col("count").sum())["count"].to_list() == [5] * 4


@settings(max_examples=25, deadline=None)
@given(st.lists(calls, max_size=30), st.sampled_from([None, "1m", "1h"]))
def test_calls_numbered_by_kind_roll_up_to_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], bucket: str | None
) -> None:
    together = make_calls([make_call(), *rows])
    path = tmp_path_factory.mktemp("kinds") / "calls.parquet"
    write_calls(path, [to_arrow(together)])
    numbered, _ = scan_numbered([path])
    assert numbered is not None
    for keys in (("hop", "route", "model", "tenant"), ("hop",), ()):
        told = roll_up(numbered, keys=keys, bucket=bucket)
        plain = roll_up(together.lazy(), keys=keys, bucket=bucket)
        assert_frame_equal(told.totals, plain.totals)
        assert_frame_equal(told.cells, plain.cells)
    with pytest.raises(BadInputError, match="not keys of calls: pod; there are hop, route, model, tenant"):
        roll_up(numbered, keys=["pod"])


@settings(max_examples=40, deadline=None)
@given(batches, batches)
def test_many_counts_add_up_to_the_same(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> None:
    parts = [rolled(rows, bucket="1h") for rows in (left, right)]
    densely = parts[0].merge(parts[1]).by(["hop"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adding, "MAX_CELLS", 0)
        plainly = parts[0].merge(parts[1]).by(["hop"])
    assert_frame_equal(densely.counts, plainly.counts)
    assert_frame_equal(densely.totals, plainly.totals)
