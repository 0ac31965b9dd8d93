"""From acknowledged bytes to Parquet: nothing is lost, nothing comes twice, wherever the process is killed."""

import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from meshslo.telemetry.store import Store, commits, ingest, open_store
from meshslo.telemetry.store import spans as reading_spans
from meshslo.telemetry.store.housekeeping import WorkerSettings
from meshslo.telemetry.store.ingest import IngestSettings, Step
from meshslo.telemetry.store.segments import OPEN, SEALED, all_segments, fresh_name, recover, sealed
from meshslo.telemetry.store.wal import Kind, pack
from meshslo.telemetry.store.worker import FLUSH, Worker
from tests.support.calls import EPOCH
from tests.support.otlp import make_batch, make_span

NOW = IngestSettings(settle_s=0)
LATER = IngestSettings(settle_s=3600)
SERVER, CLIENT = 2, 3


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", create=True)


def acknowledge(store: Store, *payloads: bytes, suffix: str = SEALED, arrival_ns: int = 0) -> Path:
    """A segment as the journal leaves it."""
    path = store.layout.wal / f"{fresh_name()}{suffix}"
    path.write_bytes(b"".join(pack(Kind.OTLP_TRACES, arrival_ns, payload) for payload in payloads))
    return path


def spans_of(store: Store) -> list[int]:
    return sorted(int.from_bytes(span, "big") for span in store.scan().collect()["span_id"])


def batch_of(*numbers: int) -> bytes:
    return make_batch([make_span(number) for number in numbers])


def test_acknowledged_spans_are_scanned_before_any_step(store: Store) -> None:
    acknowledge(store, batch_of(1, 2))
    acknowledge(store, batch_of(3), suffix=OPEN)
    assert spans_of(store) == [1, 2, 3]
    assert list(store.path.rglob("*.parquet")) == []
    assert spans_of(Store(store.layout)) == [1, 2, 3]


def test_a_step_moves_sealed_spans_into_their_hour(store: Store) -> None:
    acknowledge(store, batch_of(1), make_batch([make_span(2, at_s=7200)]))
    step = ingest.ingest(store.layout, NOW)
    assert (step.segments, step.spans, step.rows, step.duplicates, step.carried) == (1, 2, 2, 0, 0)
    assert all_segments(store.layout) == []
    assert sorted(path.parent.name for path in store.path.rglob("*.parquet")) == ["hour=09", "hour=11"]
    assert spans_of(store) == [1, 2]


def test_what_is_being_written_is_left_alone(store: Store) -> None:
    path = acknowledge(store, batch_of(1), suffix=OPEN)
    assert ingest.ingest(store.layout, NOW) == Step()
    assert path.exists()


@pytest.mark.parametrize("together", [True, False])
def test_a_batch_that_was_sent_twice_counts_once(store: Store, together: bool) -> None:
    batch = batch_of(1, 2)
    acknowledge(store, batch)
    if not together:
        ingest.ingest(store.layout, NOW)
    acknowledge(store, batch, batch_of(3))
    assert spans_of(store) == [1, 2, 3]
    step = ingest.ingest(store.layout, NOW)
    assert (step.rows, step.duplicates) == (3 if together else 1, 2)
    assert spans_of(store) == [1, 2, 3]
    assert pl.scan_parquet(list(store.path.rglob("*.parquet"))).collect().height == 3


def test_spans_wait_for_the_rest_of_their_trace(store: Store) -> None:
    server = make_span(2, trace=7, parent_span_id=(1).to_bytes(8, "big"), kind=SERVER)
    client = make_span(1, trace=7, kind=CLIENT)
    acknowledge(store, make_batch([server], service="generator"), arrival_ns=2**62)
    step = ingest.ingest(store.layout, LATER)
    assert (step.rows, step.carried, step.next_due_s) == (0, 1, pytest.approx(2**62 / 1e9 + 3600))
    assert [path.name for path in sealed(store.layout)] == [step.carried_in]
    assert spans_of(store) == [2]
    acknowledge(store, make_batch([client], service="gateway"), arrival_ns=2**62)
    step = ingest.ingest(store.layout, LATER, flush=True)
    assert (step.rows, step.carried, step.next_due_s) == (2, 0, None)
    assert store.scan().collect()["hop"].to_list() == ["gateway>generator"] * 2


def test_waiting_spans_keep_everything_that_was_read_of_them(store: Store) -> None:
    acknowledge(store, batch_of(1, 2), arrival_ns=2**62)
    before = store.scan().sort("span_id").collect()
    for _ in range(3):
        assert ingest.ingest(store.layout, LATER).carried == 2
        assert store.scan().sort("span_id").collect().equals(before)
    ingest.ingest(store.layout, LATER, flush=True)
    assert store.scan().sort("span_id").collect().equals(before)


def test_a_span_that_comes_again_while_it_waits_is_a_duplicate_once(store: Store) -> None:
    acknowledge(store, batch_of(1, 2), arrival_ns=2**62)
    assert ingest.ingest(store.layout, LATER).duplicates == 0
    acknowledge(store, batch_of(2), arrival_ns=2**62)
    assert [ingest.ingest(store.layout, LATER).duplicates for _ in range(2)] == [1, 0]
    step = ingest.ingest(store.layout, LATER, flush=True)
    assert (step.rows, step.duplicates) == (2, 0)


def test_only_whole_traces_are_settled_early_when_too_many_wait(store: Store) -> None:
    spans = [make_span(10 * trace + n, trace=trace) for trace in (1, 2, 3) for n in range(3)]
    acknowledge(store, make_batch(spans), arrival_ns=2**62)
    step = ingest.ingest(store.layout, IngestSettings(settle_s=3600, max_carried_spans=4))
    assert (step.rows, step.carried) == (6, 3)


def test_fewer_spans_wait_while_segments_are_left_to_the_next_step(store: Store) -> None:
    for first in (1, 11):
        acknowledge(store, batch_of(*range(first, first + 8)), arrival_ns=2**62)
    step = ingest.ingest(store.layout, IngestSettings(settle_s=3600, max_carried_spans=8, max_step_bytes=1))
    assert (step.segments, step.rows, step.carried) == (1, 6, 2)
    assert spans_of(store) == [*range(1, 9), *range(11, 19)]


PARTS = {
    "being written": (OPEN, IngestSettings(settle_s=0.02)),
    "left to the next step": (SEALED, IngestSettings(0.02, 50_000, 1)),
}


@pytest.mark.parametrize(("suffix", "settings"), PARTS.values(), ids=PARTS)
def test_a_trace_is_waited_for_while_a_segment_is_unread(store: Store, suffix: str, settings: IngestSettings) -> None:
    acknowledge(store, make_batch([make_span(1, trace=1)]), arrival_ns=time.time_ns())
    rest = acknowledge(store, make_batch([make_span(2, trace=1)]), suffix=suffix, arrival_ns=time.time_ns())
    time.sleep(0.05)
    began_s = time.time()
    step = ingest.ingest(store.layout, settings)
    assert (step.segments, step.rows, step.carried) == (1, 0, 1), "its other span has arrived, however long ago"
    assert step.next_due_s is not None
    assert step.next_due_s >= began_s + 1.0, "nothing to do before the other segment can be taken"
    if rest.exists():
        rest.rename(rest.with_suffix(SEALED))
    step = ingest.ingest(store.layout, IngestSettings(settle_s=0.02))
    assert (step.segments, step.rows, step.carried) == (2, 2, 0)


def test_what_is_carried_comes_first_in_the_next_step(store: Store) -> None:
    acknowledge(store, make_batch([make_span(1, trace=1)]), arrival_ns=time.time_ns())
    for number in (2, 3):
        acknowledge(store, make_batch([make_span(number, trace=number)]), arrival_ns=time.time_ns())
    step = ingest.ingest(store.layout, IngestSettings(3600, 50_000, 1))
    assert sealed(store.layout)[0].name == step.carried_in


def test_a_trace_that_never_rests_is_settled_all_the_same(store: Store) -> None:
    spans = pl.DataFrame({"trace_id": [b"a", b"a", b"b"], "arrival_ns": [0, 61 * 10**9, 61 * 10**9]})
    ready, waiting = ingest.split_settled(spans, IngestSettings(settle_s=10), 62 * 10**9, flush=False)
    assert ready["trace_id"].to_list() == [b"a", b"a"]
    assert waiting["trace_id"].to_list() == [b"b"]


class KilledError(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def killed(*_: object, **__: object) -> None:
    raise KilledError


def after(function: Callable[..., object]) -> Callable[..., None]:
    def run(*args: object, **named: object) -> None:
        function(*args, **named)
        raise KilledError

    return run


POINTS = {
    "before the first file": ("hours.sync_file", killed),
    "before waiting spans are durable": ("ingest.sync_file", killed),
    "before the decision": ("ingest.decide", killed),
    "right after the decision": ("ingest.carry_out", killed),
    "after one rename": ("commits._publish", after(commits._publish)),
    "before the segments go": ("commits._unlink", killed),
    "after the segments have gone": ("commits._unlink", after(commits._unlink)),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_anywhere_in_a_step_loses_and_repeats_nothing(store: Store, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    acknowledge(store, batch_of(1, 2), make_batch([make_span(3, at_s=3600)]))
    acknowledge(store, batch_of(4), arrival_ns=2**62)
    place, replacement = POINTS[point]
    monkeypatch.setattr(f"meshslo.telemetry.store.{place}", replacement)
    with pytest.raises(KilledError):
        ingest.ingest(store.layout, IngestSettings(settle_s=10))
    monkeypatch.undo()
    assert spans_of(store) == [1, 2, 3, 4], "between the kill and the next start"
    commits.settle(store.layout)
    assert spans_of(store) == [1, 2, 3, 4], "after the next start"
    ingest.ingest(store.layout, NOW, flush=True)
    assert spans_of(store) == [1, 2, 3, 4], "after the next step"
    stored = pl.scan_parquet(list(store.path.rglob("*.parquet"))).collect()
    assert sorted(int.from_bytes(span, "big") for span in stored["span_id"]) == [1, 2, 3, 4]
    leftovers = [path.name for path in store.path.rglob("*") if path.suffix in (".tmp", ".seg", ".json")]
    assert leftovers == ["meshslo-store.json"]


def test_a_torn_tail_is_cut_off_and_told(store: Store) -> None:
    path = acknowledge(store, batch_of(1), suffix=OPEN)
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(pack(Kind.OTLP_TRACES, 0, batch_of(2))[:-5])
    torn = path.stat().st_size - whole
    assert spans_of(store) == [1]
    (tail,) = recover(store.layout)
    assert (tail.path, tail.cut_bytes) == (path, torn)
    assert ingest.ingest(store.layout, NOW).damaged == ()
    assert spans_of(store) == [1]


def test_a_segment_with_nothing_whole_in_it_goes(store: Store) -> None:
    acknowledge(store, suffix=OPEN).write_bytes(b"mSL1")
    assert [tail.cut_bytes for tail in recover(store.layout)] == [4]
    assert all_segments(store.layout) == []


def test_damage_in_the_middle_is_told_its_neighbours_kept_and_the_evidence_too(store: Store) -> None:
    path = acknowledge(store, batch_of(1), batch_of(2), batch_of(3))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    assert spans_of(store) == [1, 3]
    step = ingest.ingest(store.layout, NOW)
    assert len(step.damaged) == 1
    assert "does not match its checksum" in step.damaged[0]
    assert spans_of(store) == [1, 3]
    assert (store.layout.damaged / path.name).read_bytes() == content
    assert all_segments(store.layout) == []


def test_a_record_that_is_no_message_does_not_take_its_neighbours_along(store: Store) -> None:
    acknowledge(store, batch_of(1), b"\xff\xff garbage", batch_of(2))
    step = ingest.ingest(store.layout, NOW)
    assert "no OTLP trace export" in step.damaged[0]
    assert spans_of(store) == [1, 2]


def test_a_reader_that_loses_a_segment_looks_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    acknowledge(store, batch_of(1))
    from meshslo.telemetry.store import store as reading

    real = reading.read_arrived
    tries = []

    def slow(segments: tuple[Path, ...]) -> object:
        tries.append(segments)
        if len(tries) == 1:
            ingest.ingest(store.layout, NOW)
        return real(segments)

    monkeypatch.setattr(reading, "read_arrived", slow)
    assert spans_of(store) == [1]
    assert len(tries) == 1
    assert sealed(store.layout) == []


def test_a_segment_that_cannot_become_calls_is_set_aside_and_the_rest_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledge(store, batch_of(1))
    poison = acknowledge(store, batch_of(666))
    acknowledge(store, batch_of(2))
    real = reading_spans.to_calls

    def stumble(spans: pl.DataFrame) -> pl.DataFrame:
        if (666).to_bytes(8, "big") in spans["span_id"].to_list():
            raise ZeroDivisionError
        return real(spans)

    monkeypatch.setattr(reading_spans, "to_calls", stumble)
    told: list[dict[str, object]] = []
    Worker(store.layout, WorkerSettings(NOW), told.append).flush()
    assert spans_of(store) == [1, 2]
    assert [(event["event"], event.get("segment")) for event in told] == [("set_aside", poison.name)]
    assert "ZeroDivisionError" in str(told[0]["reason"])
    assert (store.layout.damaged / poison.name).exists()


def test_a_full_disk_stops_a_step_and_costs_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    acknowledge(store, batch_of(1))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "calls")

    monkeypatch.setattr("meshslo.telemetry.store.hours.sync_file", full)
    told: list[dict[str, object]] = []
    worker = Worker(store.layout, WorkerSettings(NOW), told.append)
    assert not worker.step()
    assert told == [{"event": "failed", "reason": "calls: No space left on device"}]
    assert spans_of(store) == [1]
    monkeypatch.undo()
    assert worker.step()
    assert spans_of(store) == [1]
    assert sealed(store.layout) == []


def test_the_worker_flushes_when_told_and_ends(store: Store) -> None:
    import queue

    acknowledge(store, batch_of(1), arrival_ns=2**62)
    orders: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    orders.put(FLUSH)
    Worker(store.layout, WorkerSettings(LATER), lambda event: None).run(orders)
    assert sealed(store.layout) == []
    assert spans_of(store) == [1]


def test_late_spans_land_in_their_own_hour(store: Store) -> None:
    acknowledge(store, make_batch([make_span(1, at_s=-30 * 86400)]))
    ingest.ingest(store.layout, NOW)
    assert store.scan(until=EPOCH).collect().height == 1
    assert [path.parent.parent.name for path in store.path.rglob("*.parquet")] == ["date=2026-10-03"]
