"""Kept rollups: the same answers as from the calls, whatever is kept, and nothing read again that is."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meshslo.analysis import open_store
from meshslo.analysis.config import Limits
from meshslo.analysis.directory import DirectoryCalls, open_directory
from meshslo.analysis.folding import KEYS, Rollup
from meshslo.analysis.folds import QUIET, usable
from meshslo.analysis.rollup import roll_up
from meshslo.telemetry.errors import StoreError
from meshslo.telemetry.vocabulary import OUTCOMES, PHASES
from tests.support.calls import EPOCH, make_call, make_calls

NOW = datetime(2027, 6, 1, tzinfo=UTC)
DAY_S = 86_400

calls = st.builds(
    make_call,
    # In other months, within some days, within one hour or the next.
    at_s=st.integers(-40, 40).map(lambda days: days * DAY_S / 2) | st.integers(0, 3 * DAY_S) | st.integers(0, 7200),
    duration_s=st.none() | st.floats(1e-4, 100.0),
    first_token_s=st.none() | st.floats(1e-4, 100.0),
    outcome=st.sampled_from(OUTCOMES),
    model=st.sampled_from(["a", "b", None]),
    tenant=st.sampled_from(["t", "u"]),
    weight=st.sampled_from([1.0, 4.0]),
)
moments = st.none() | st.integers(-60, 60).map(lambda quarter: EPOCH.replace(hour=0) + timedelta(hours=6 * quarter))


def open_files(path: Path) -> DirectoryCalls:
    return open_directory(path, Limits(), create=True)


def same(left: Rollup, right: Rollup) -> None:
    assert (left.keys, left.bucket, left.scale) == (right.keys, right.bucket, right.scale)
    # Sums may differ in the last digit with the order of adding.
    assert_frame_equal(left.totals, right.totals, abs_tol=0.0, rel_tol=1e-12)
    assert_frame_equal(left.cells, right.cells)


def from_calls(store: DirectoryCalls, **asked: Any) -> Rollup:
    window = {name: asked.pop(name, None) for name in ("since", "until")}
    return roll_up(store.scan(window["since"], window["until"]), keys=asked.pop("by", KEYS), **asked)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(calls, min_size=1, max_size=5), st.lists(calls, max_size=2), st.data())
def test_folds_change_no_answer(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], late: list[dict[str, Any]], data: st.DataObject
) -> None:
    store = open_files(tmp_path_factory.mktemp("folds") / "store")
    store.add(make_calls(rows))
    store.fold(NOW)
    if late:
        store.add(make_calls(late))
    for _ in range(4):
        asked = {
            "by": data.draw(st.sampled_from([KEYS, ("hop", "model"), ("hop",), ("hop", "pod")])),
            "bucket": data.draw(st.sampled_from([None, "1m", "1h", "6h", "1d", "30d"])),
            "since": data.draw(moments),
            "until": data.draw(moments),
            "phases": data.draw(st.sampled_from([("total",), PHASES])),
        }
        if store.scan(asked["since"], asked["until"]).collect().is_empty():
            continue
        same(store.rollup(**asked), from_calls(store, **asked))


def test_what_is_folded_is_not_read_again(tmp_path: Path) -> None:
    store = open_files(tmp_path / "store")
    store.add(make_calls([make_call(at_s=3600.0 * hour, duration_s=1.0 + hour) for hour in range(16)]))
    known = store.rollup(bucket=None, phases=["total"])
    # Hours, days, and the month of November.
    assert store.fold(NOW) == 16 + 2 + 1
    assert store.fold(NOW) == 0
    for path in (tmp_path / "store" / "calls").glob("*/*/*.parquet"):
        path.write_bytes(b"not to be opened")
    same(store.rollup(bucket=None, phases=["total"]), known)
    assert store.rollup(bucket="1h").totals["start"].n_unique() == 16


def test_only_spans_that_are_over_are_folded(tmp_path: Path) -> None:
    store = open_files(tmp_path / "store")
    store.add(make_calls([make_call(at_s=0.0), make_call(at_s=3600.0)]))
    assert store.fold(EPOCH + timedelta(hours=1) + QUIET - timedelta(seconds=1)) == 0
    assert store.fold(EPOCH + timedelta(hours=1) + QUIET) == 1
    assert store.fold(EPOCH + timedelta(hours=2) + QUIET) == 1
    assert store.fold(EPOCH + timedelta(days=1)) == 1


def test_late_calls_are_counted_and_folded_again(tmp_path: Path) -> None:
    store = open_files(tmp_path / "store")
    store.add(make_calls([make_call(at_s=3600.0 * hour) for hour in range(3)]))
    store.fold(NOW)
    store.add(make_calls([make_call(at_s=1.0)]))
    assert store.rollup(bucket=None, phases=["total"]).calls == 4
    steps: list[Any] = []
    assert store.fold(NOW, steps.append) == 3
    assert [(step.level, step.start) for step in steps] == [
        ("hour", EPOCH), ("day", EPOCH.replace(hour=0)), ("month", EPOCH.replace(day=1, hour=0)),
    ]  # fmt: skip
    files = list((tmp_path / "store" / "folds").rglob("*.parquet"))
    assert len(files) == 2 * len(PHASES) * (3 + 1 + 1)


def test_folds_of_calls_that_are_gone_go_too(tmp_path: Path) -> None:
    store = open_files(tmp_path / "store")
    store.add(make_calls([make_call(at_s=0.0), make_call(at_s=40.0 * DAY_S)]))
    store.fold(NOW)
    for path in (tmp_path / "store" / "calls").glob("date=2026-11-02/*/*.parquet"):
        path.unlink()
    store.fold(NOW)
    kept = {path.parent.name for path in (tmp_path / "store" / "folds").rglob("*.parquet")}
    assert kept == {"2026-12-12T09", "2026-12-12T00", "2026-12-01T00"}


def test_first_and_last_start_come_from_the_hours_at_the_ends(tmp_path: Path) -> None:
    store = open_files(tmp_path / "store")
    store.add(make_calls([make_call(at_s=60.0 * minute) for minute in range(0, 600, 7)]))
    whole = open_store(tmp_path / "store").report(by=["hop"])
    assert (whole.start, whole.end) == (EPOCH, EPOCH + timedelta(minutes=595))
    # Calls at minutes 175 and 182: across the end of an hour.
    since, until = EPOCH + timedelta(minutes=176), EPOCH + timedelta(minutes=182)
    with pytest.raises(StoreError, match="no calls started"):
        store.report(by=["hop"], since=since, until=until)
    assert store.report(by=["hop"], since=since, until=until + timedelta(minutes=1)).rows()[0]["calls"] == 1


@pytest.mark.parametrize(
    ("by", "bucket", "levels"),
    [
        (("hop",), None, ["month", "day", "hour"]), (("hop", "pod"), None, []), (("hop",), "1m", []), (("hop",), "90s", []),
        (("hop",), "1h30m", []), (("hop",), "2h", ["hour"]), (("hop",), "7d", ["day", "hour"]), (("hop",), "1mo", []),
    ],
)  # fmt: skip
def test_the_longest_spans_that_tell_an_answer_are_used(by: tuple[str, ...], bucket: str | None, levels: list[str]) -> None:
    assert [level.name for level in usable(by, bucket)] == levels


def test_weights_that_say_no_more_than_counts_are_not_kept(tmp_path: Path) -> None:
    store = open_files(tmp_path / "store")
    store.add(make_calls([make_call()]))
    store.fold(NOW)
    for path in (tmp_path / "store" / "folds").rglob("*.counts.parquet"):
        assert pl.read_parquet(path).columns == ["index", "count"]
