"""Merging and retiring: fewer files, the same calls; and nothing kept longer or larger than asked for."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from meshslo.telemetry.store import Store, commits, open_store
from meshslo.telemetry.store.housekeeping import KeepSettings, Kept, keep
from meshslo.telemetry.store.snapshot import take
from meshslo.telemetry.vocabulary import hop
from tests.support.calls import EPOCH, make_call, make_calls


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", create=True)


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "GRACE_S", 0.0)


def append(store: Store, *at_s: float) -> None:
    store.append(make_calls([make_call(at_s=second) for second in at_s]), source="test")


def ago_s(**age: float) -> float:
    """`at_s` of a call so long ago."""
    return (datetime.now(UTC) - timedelta(**age) - EPOCH).total_seconds()


def rows(store: Store) -> pl.DataFrame:
    return store.scan().sort("span_id").collect()


def test_an_hour_that_is_over_becomes_one_file_with_the_same_calls(store: Store) -> None:
    for second in range(5):
        append(store, second, 3600 + second)
    append(store, 7200)
    before = rows(store)
    assert keep(store.layout, KeepSettings()) == Kept(merged_files=10, into_files=2)
    assert rows(store).equals(before)
    assert len(take(store.layout).calls) == 3
    assert keep(store.layout, KeepSettings()) == Kept(), "merging again changes nothing"


def test_the_running_hour_is_merged_only_when_many_files_have_come(store: Store) -> None:
    for _ in range(3):
        append(store, ago_s(seconds=0))
    assert keep(store.layout, KeepSettings(merge_files=4)) == Kept()
    append(store, ago_s(seconds=0))
    assert keep(store.layout, KeepSettings(merge_files=4)) == Kept(merged_files=4, into_files=1)


def test_large_files_wait_for_the_end_of_their_hour(store: Store) -> None:
    for _ in range(4):
        append(store, ago_s(seconds=0))
    smallest = min(path.stat().st_size for path in take(store.layout).calls)
    assert keep(store.layout, KeepSettings(merge_files=2, merge_bytes=smallest)) == Kept()


def test_no_merged_file_grows_beyond_the_size(store: Store) -> None:
    for _ in range(6):
        append(store, 0)
    size_bytes = take(store.layout).calls[0].stat().st_size
    assert keep(store.layout, KeepSettings(merge_bytes=int(size_bytes * 2.5))) == Kept(merged_files=6, into_files=3)


def test_files_too_large_for_memory_are_joined_end_to_end(store: Store) -> None:
    for second in range(4):
        append(store, second, second + 0.5)
    before = rows(store)
    largest = max(path.stat().st_size for path in take(store.layout).calls)
    kept = keep(store.layout, KeepSettings(merge_bytes=largest, large_bytes=100 * largest))
    assert kept == Kept(merged_files=4, into_files=1)
    assert rows(store).equals(before)
    (path,) = take(store.layout).calls
    assert pq.ParquetFile(path).num_row_groups == 4


def test_who_listed_the_files_before_a_merge_still_reads_them(store: Store) -> None:
    append(store, 0)
    append(store, 1)
    listed = store.scan()
    keep(store.layout, KeepSettings())
    assert listed.collect().height == 2
    assert rows(store).height == 2


def test_superseded_files_go_after_the_grace_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    append(store, 0)
    append(store, 1)
    keep(store.layout, KeepSettings())
    assert len(list(store.path.rglob("*.parquet"))) == 3
    later_s = time.time() + commits.GRACE_S + 1
    monkeypatch.setattr(commits.time, "time", lambda: later_s)
    keep(store.layout, KeepSettings())
    assert len(list(store.path.rglob("*.parquet"))) == 1
    assert list(store.layout.commits.iterdir()) == []
    assert rows(store).height == 2


def test_a_merge_completes_rows_from_trace_mates_that_came_later(store: Store) -> None:
    trace, client = b"t" * 16, b"c" * 8
    server = make_call(trace_id=trace, parent_span_id=client, caller=None, hop=hop("unknown", "generator"))
    store.append(make_calls([server]), source="early")
    store.append(make_calls([make_call(trace_id=trace, span_id=client, vantage="client")]), source="late")
    assert "unknown>generator" in rows(store)["hop"].to_list()
    keep(store.layout, KeepSettings())
    assert rows(store)["hop"].to_list() == ["gateway>generator"] * 2


@pytest.mark.usefixtures("no_grace")
def test_calls_older_than_the_retention_go_hour_by_hour(store: Store) -> None:
    append(store, ago_s(days=31), ago_s(days=40), ago_s(days=29), ago_s(hours=1))
    kept = keep(store.layout, KeepSettings(max_age_s=30 * 86400))
    assert kept.retired_files == 2
    assert kept.retired_bytes > 0
    assert kept.retired_until is not None
    assert datetime.fromisoformat(kept.retired_until) < datetime.now(UTC) - timedelta(days=30)
    assert rows(store).height == 2
    assert len(list(store.layout.calls.glob("date=*/hour=*"))) == 2, "emptied folders go too"


@pytest.mark.usefixtures("no_grace")
def test_the_oldest_hours_go_first_when_there_is_too_much(store: Store) -> None:
    for hour in range(4):
        append(store, hour * 3600)
    size_bytes = sum(path.stat().st_size for path in take(store.layout).calls)
    kept = keep(store.layout, KeepSettings(max_bytes=size_bytes // 2 + 1000))
    assert kept.retired_files == 2
    assert rows(store)["start"].min() == EPOCH + timedelta(hours=2)
    assert keep(store.layout, KeepSettings(max_bytes=size_bytes)) == Kept()


def test_nothing_is_retired_unless_asked_for(store: Store) -> None:
    append(store, ago_s(days=4000))
    assert keep(store.layout, KeepSettings()) == Kept()
    assert rows(store).height == 1
