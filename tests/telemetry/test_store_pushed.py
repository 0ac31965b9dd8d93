"""Pushed metrics in the store: seen before and after they are moved, merged and retired without a count more or less."""

import time
from pathlib import Path

import polars as pl
import pytest

from meshslo.telemetry.store import commits, ingest, open_store
from meshslo.telemetry.store.housekeeping import KeepSettings, keep
from meshslo.telemetry.store.ingest import IngestSettings
from meshslo.telemetry.store.layout import Layout
from meshslo.telemetry.store.metric_keeping import MERGE_FILES
from meshslo.telemetry.store.metrics import MetricStore
from meshslo.telemetry.store.segments import SEALED, fresh_name
from meshslo.telemetry.store.wal import Kind, pack
from tests.support.otlp_metrics import Service


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return open_store(tmp_path / "store", create=True).layout


def seal(layout: Layout, export: bytes) -> None:
    (layout.wal / f"{fresh_name()}{SEALED}").write_bytes(pack(Kind.OTLP_METRICS, time.time_ns(), export))


def calls(layout: Layout) -> float:
    return float(MetricStore(layout).scan().filter(pl.col("measure") == "bucket").collect()["value"].sum())


def files(layout: Layout) -> list[Path]:
    return sorted(layout.metrics.rglob("*.parquet"))


def test_metrics_count_before_and_after_they_are_moved(layout: Layout) -> None:
    service = Service()
    for number in range(3):
        service.record([1.0, 2.0])
        seal(layout, service.export())
        assert calls(layout) == 2 * (number + 1)
        step = ingest.ingest(layout, IngestSettings())
        assert (step.segments, step.metric_points) == (1, 1)
        assert calls(layout) == 2 * (number + 1)
    assert MetricStore(layout).series_if_any() is not None


def test_a_step_of_repeats_alone_adds_no_file(layout: Layout) -> None:
    service = Service()
    service.record([1.0])
    export = service.export()
    for _ in range(2):
        seal(layout, export)
        step = ingest.ingest(layout, IngestSettings())
    assert (step.metric_points, step.metric_repeats, len(files(layout))) == (1, 1, 1)


POINTS = {
    "before the decision": ("ingest.decide", None),
    "right after the decision": ("ingest.carry_out", None),
    "after one rename": ("commits._publish", commits._publish),
    "before the segments go": ("commits._unlink", None),
    "after the segments have gone": ("commits._unlink", commits._unlink),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_anywhere_in_a_step_loses_and_repeats_nothing(
    layout: Layout, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, (place, real) = Service(), POINTS[point]

    def killed(*arguments: object) -> None:
        if real is not None:
            real(*arguments)
        raise KeyboardInterrupt

    for number in range(2):
        service.record([1.0, 2.0])
        seal(layout, service.export())
        monkeypatch.setattr(f"meshslo.telemetry.store.{place}", killed)
        with pytest.raises(KeyboardInterrupt):
            ingest.ingest(layout, IngestSettings())
        monkeypatch.undo()
        assert calls(layout) == 2 + 3 * number, "between the kill and the next start"
        service.record([3.0])
        seal(layout, service.export())
        assert calls(layout) == 3 * (number + 1), "a later export is told from what the killed step was to remember"
        commits.settle(layout)
        ingest.ingest(layout, IngestSettings())
        assert calls(layout) == 3 * (number + 1), "after the next step"


def filled(layout: Layout, steps: int) -> None:
    service = Service()
    for _ in range(steps):
        service.record([1.0])
        seal(layout, service.export())
        ingest.ingest(layout, IngestSettings())


def test_small_files_become_one_with_every_count(layout: Layout) -> None:
    filled(layout, MERGE_FILES)
    before = MetricStore(layout).scan().collect()
    assert keep(layout, KeepSettings()).merged_files == MERGE_FILES
    after = MetricStore(layout).scan().collect()
    order = before.columns
    assert after.sort(order).equals(before.sort(order))
    assert len(MetricStore(layout).series().collect()) < len(before)
    assert keep(layout, KeepSettings()).merged_files == 0


def test_old_ones_go_and_young_ones_stay(layout: Layout) -> None:
    filled(layout, 1)
    assert keep(layout, KeepSettings(max_age_s=60)).retired_files == 0
    assert keep(layout, KeepSettings(max_age_s=-60)).retired_files == 1
    assert calls(layout) == 0
