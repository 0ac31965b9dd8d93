"""Metric series in the store: durable, apart by who said them, and no step twice."""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from meshslo.telemetry.errors import StoreError
from meshslo.telemetry.store import open_store
from meshslo.telemetry.store.metrics import STEPS, MetricStore, as_series, conform_series, open_metrics
from tests.support.calls import EPOCH
from tests.support.series import make_histogram, make_row, make_series, make_steps

MINUTE = timedelta(minutes=1)


@pytest.fixture
def store(tmp_path: Path) -> MetricStore:
    return MetricStore(open_store(tmp_path / "store", create=True).layout)


def minutes(first: int, end: int, **columns: object) -> pl.DataFrame:
    return make_series([make_row(minute=minute, low_s=0.0, high_s=1.0, **columns) for minute in range(first, end)])


def append(store: MetricStore, series: pl.DataFrame, first: int, end: int) -> tuple[int, int]:
    added = store.append(series, since=EPOCH + first * MINUTE, until=EPOCH + end * MINUTE)
    return added.rows, added.duplicates


def test_what_goes_in_comes_out(store: MetricStore) -> None:
    rows = make_steps(
        [*make_histogram([0.5, 1.0], [1, 2, 3], outcome="timeout", mtls=True), make_row(measure="sum_s", value=9.0)]
    )
    append(store, as_series(rows.lazy()).collect(), 0, 1)
    assert open_metrics(store.layout.root).scan().collect().sort("measure", "high_s").equals(rows.sort("measure", "high_s"))


def test_a_store_that_nothing_was_pulled_into_has_none(store: MetricStore) -> None:
    assert store.scan().collect().schema == STEPS
    assert store.series_if_any() is None


def test_no_store_no_metrics(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        open_metrics(tmp_path / "nowhere")


def test_a_window_is_half_open(store: MetricStore) -> None:
    append(store, minutes(0, 5), 0, 5)
    assert store.scan(EPOCH + MINUTE, EPOCH + 3 * MINUTE).collect().height == 2


def test_windows_cut_files_and_keep_others_whole(store: MetricStore) -> None:
    for first in (0, 5, 10):
        append(store, minutes(first, first + 5), first, first + 5)
    rows = store.series(EPOCH + 3 * MINUTE, EPOCH + 12 * MINUTE).collect()
    assert rows["value"].list.len().to_list() == [5, 4], "the whole file, and the ends of the others"
    assert store.scan(EPOCH + 3 * MINUTE, EPOCH + 12 * MINUTE).collect()["start"].sort().to_list() == [
        EPOCH + minute * MINUTE for minute in range(3, 12)
    ]


def test_a_step_that_a_source_spoke_of_before_is_left_out(store: MetricStore) -> None:
    assert append(store, minutes(0, 5), 0, 5) == (5, 0)
    assert append(store, minutes(3, 8), 3, 8) == (3, 2)
    assert store.scan().collect()["start"].n_unique() == store.scan().collect().height == 8


def test_a_longer_step_over_known_minutes_is_left_out_whole(store: MetricStore) -> None:
    append(store, minutes(3, 5), 3, 5)
    assert append(store, minutes(0, 1, step_s=3600.0), 0, 60) == (0, 1)


def test_other_sources_and_profiles_have_their_own_steps(store: MetricStore) -> None:
    append(store, minutes(0, 5), 0, 5)
    assert append(store, minutes(0, 5, source="http://other"), 0, 5) == (5, 0)
    assert append(store, minutes(0, 5, profile="vllm"), 0, 5) == (5, 0)


def test_a_profile_cannot_leave_the_store(store: MetricStore) -> None:
    append(store, minutes(0, 1, profile="../../x"), 0, 1)
    assert all(store.layout.metrics in path.parents for path in store.layout.root.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (minutes(0, 1).with_columns(pod=pl.lit("a")), "not columns of a metric series: pod; allowed are source"),
        (minutes(0, 1).drop("hop"), "metric series without hop"),
    ],
)
def test_rows_of_another_shape_are_refused(frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        conform_series(frame)
