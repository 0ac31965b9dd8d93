"""The worker's rest in a burst: for as long as more arrives than it could move, and only so long."""

import queue
import time
from pathlib import Path
from typing import cast

import pytest

from meshslo.telemetry.store import open_store
from meshslo.telemetry.store.housekeeping import WorkerSettings
from meshslo.telemetry.store.ingest import IngestSettings
from meshslo.telemetry.store.pace import REST_S, Pace
from meshslo.telemetry.store.segments import SEALED, fresh_name, sealed
from meshslo.telemetry.store.wal import Kind, pack
from meshslo.telemetry.store.worker import FLUSH, Worker
from tests.support.otlp import make_batch, make_span

NOW_S = 1_800_000_000.0
PLENTY = 2**40


def waiting(folder: Path, *segments: tuple[float, int]) -> list[Path]:
    """Segments of (age in seconds at NOW_S, bytes)."""
    paths = [folder / f"{fresh_name(round((NOW_S - age_s) * 1e9))}{SEALED}" for age_s, _ in segments]
    for path, (_, size_bytes) in zip(paths, segments, strict=True):
        path.write_bytes(bytes(size_bytes))
    return paths


CASES = {
    "more comes than it could move": ([(0.9, 600), (0.2, 600)], True),
    "it keeps up": ([(0.9, 400), (0.2, 400)], False),
    "it is behind, but the burst is over": ([(5.0, 9000), (1.1, 9000), (0.2, 10)], False),
    "it is behind, and more comes": ([(5.0, 9000), (0.2, 1200)], True),
    "it has rested long enough": ([(REST_S, 9000), (0.2, 1200)], False),
    "nothing waits": ([], False),
}


@pytest.mark.parametrize(("segments", "rests"), CASES.values(), ids=CASES)
def test_the_worker_rests_while(segments: list[tuple[float, int]], rests: bool, tmp_path: Path) -> None:
    pace = Pace()
    pace.learn(moved_bytes=2000, cpu_s=2.0)
    assert pace.rests(waiting(tmp_path, *segments), NOW_S, PLENTY) is rests


def test_nobody_rests_without_knowing_his_pace_or_on_a_disk_that_fills(tmp_path: Path) -> None:
    burst = waiting(tmp_path, (0.9, 600), (0.2, 600))
    assert not Pace().rests(burst, NOW_S, PLENTY)
    assert Pace(1000).rests(burst, NOW_S, 4800)
    assert not Pace(1000).rests(burst, NOW_S, 4799)


def test_a_segment_that_is_sealed_meanwhile_costs_nothing(tmp_path: Path) -> None:
    gone, *rest = waiting(tmp_path, (0.9, 600), (0.2, 1200))
    gone.unlink()
    assert Pace(1000).rests([gone, *rest], NOW_S, PLENTY)


class Orders:
    """Looks of the worker at its orders in vain, then one."""

    def __init__(self, looks: int, order: str | None) -> None:
        self._answers: list[str | None] = [*[""] * looks, order]

    def get(self, timeout: float) -> str | None:
        """The next answer."""
        answer = self._answers.pop(0)
        if answer == "":
            raise queue.Empty
        return answer


def test_a_worker_that_knows_its_pace_lets_a_burst_lie_until_told_to_flush(tmp_path: Path) -> None:
    layout = open_store(tmp_path / "store", create=True).layout
    record = pack(Kind.OTLP_TRACES, time.time_ns(), make_batch([make_span(1)]))

    def acknowledge() -> None:
        # Ahead of the clock, so that the burst lasts however slow the machine is.
        (layout.wal / f"{fresh_name(time.time_ns() + 3600 * 10**9)}{SEALED}").write_bytes(record)

    def run(looks: int, order: str | None) -> int:
        worker.run(cast("queue.SimpleQueue[str | None]", Orders(looks, order)))
        return len(sealed(layout))

    settings = IngestSettings(settle_s=0, max_step_bytes=len(record))
    worker = Worker(layout, WorkerSettings(settings), lambda event: None)
    acknowledge()
    assert run(2, None) == 0, "it steps at the second look; the first is for the house"
    assert worker.pace.moved_per_cpu_s is not None
    worker.pace.learn(moved_bytes=1, cpu_s=1)
    for _ in range(3):
        acknowledge()
    assert run(5, None) == 3
    assert run(0, FLUSH) == 0
