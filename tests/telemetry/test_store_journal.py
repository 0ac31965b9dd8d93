"""The journal: a record is acknowledged once it is on the disk, and never when it is not."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshslo.telemetry.errors import StoreError
from meshslo.telemetry.store.journal import Journal, JournalSettings, StoreBusyError
from meshslo.telemetry.store.layout import Layout, open_layout
from meshslo.telemetry.store.locks import collector_lock
from meshslo.telemetry.store.segments import OPEN, SEALED, all_segments, sealed
from meshslo.telemetry.store.wal import Kind, read_segment
from tests.support.net import wait_for

WAIT_S = 20
PATIENT = JournalSettings(seal_after_s=3600)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return open_layout(tmp_path / "store", create=True)


@pytest.fixture
def journal(layout: Layout) -> Iterator[Journal]:
    journal = Journal(layout, PATIENT)
    yield journal
    journal.close()


def payloads(layout: Layout) -> list[bytes]:
    return [record.payload for path in all_segments(layout) for record in read_segment(path).records]


def test_an_acknowledged_record_is_in_the_segment(layout: Layout, journal: Journal) -> None:
    journal.append(Kind.OTLP_TRACES, b"one").result(WAIT_S)
    assert payloads(layout) == [b"one"]
    assert [path.suffix for path in all_segments(layout)] == [OPEN]


def test_fsync_comes_before_the_answer(layout: Layout, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    real = os.fdatasync

    def slow(descriptor: int) -> None:
        gate.wait(WAIT_S)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    done = journal.append(Kind.OTLP_TRACES, b"one")
    wait_for(lambda: payloads(layout) == [b"one"], what="the write")
    assert not done.done()
    gate.set()
    done.result(WAIT_S)


def test_records_that_wait_together_share_one_fsync(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (gate.wait(WAIT_S), real(descriptor)))
    journal = Journal(layout, PATIENT)
    first = journal.append(Kind.OTLP_TRACES, b"0")
    wait_for(lambda: payloads(layout) == [b"0"], what="the first write")
    rest = [journal.append(Kind.OTLP_TRACES, b"%d" % n) for n in range(1, 50)]
    gate.set()
    for done in [first, *rest]:
        done.result(WAIT_S)
    journal.close()
    assert journal.stats.syncs == 2
    assert payloads(layout) == [b"%d" % n for n in range(50)]


def test_more_waiting_than_the_limit_is_refused_and_later_taken(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (gate.wait(WAIT_S), real(descriptor)))
    journal = Journal(layout, JournalSettings(max_waiting_bytes=100))
    first = journal.append(Kind.OTLP_TRACES, bytes(90))
    with pytest.raises(StoreBusyError, match="send again later"):
        journal.append(Kind.OTLP_TRACES, bytes(90))
    gate.set()
    first.result(WAIT_S)
    wait_for(lambda: journal.waiting_bytes == 0, what="the queue emptying")
    journal.append(Kind.OTLP_TRACES, bytes(90)).result(WAIT_S)
    journal.close()
    assert len(payloads(layout)) == 2


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_what_the_disk_refuses_is_not_acknowledged_and_it_goes_on(
    layout: Layout, journal: Journal, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(Kind.OTLP_TRACES, b"before").result(WAIT_S)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(StoreBusyError, match="No space left on device; nothing of this was kept"):
            journal.append(Kind.OTLP_TRACES, b"refused").result(WAIT_S)
    journal.append(Kind.OTLP_TRACES, b"after").result(WAIT_S)
    assert payloads(layout) == [b"before", b"after"]
    assert journal.stats.failures == 1


def test_segments_are_sealed_by_size_and_by_age(layout: Layout) -> None:
    small = Journal(layout, JournalSettings(segment_bytes=10, seal_after_s=3600))
    small.append(Kind.OTLP_TRACES, bytes(20)).result(WAIT_S)
    wait_for(lambda: len(sealed(layout)) == 1, what="sealing by size")
    small.close()
    quick = Journal(layout, JournalSettings(seal_after_s=0.1))
    quick.append(Kind.OTLP_TRACES, b"x").result(WAIT_S)
    wait_for(lambda: len(sealed(layout)) == 2, what="sealing by age")
    quick.close()


def test_closing_writes_what_waits_and_seals(layout: Layout) -> None:
    journal = Journal(layout, PATIENT)
    done = [journal.append(Kind.OTLP_TRACES, b"%d" % n) for n in range(20)]
    journal.close()
    assert all(future.done() for future in done)
    assert [path.suffix for path in all_segments(layout)] == [SEALED]
    assert len(payloads(layout)) == 20
    with pytest.raises(StoreError, match="closing"):
        journal.append(Kind.OTLP_TRACES, b"late")


def test_segment_names_are_never_used_twice(layout: Layout) -> None:
    names = set()
    for _ in range(3):
        journal = Journal(layout, PATIENT)
        journal.append(Kind.OTLP_TRACES, b"x").result(WAIT_S)
        journal.close()
        (path,) = all_segments(layout)
        names.add(path.name)
        path.unlink()
    assert len(names) == 3


def test_a_second_collector_is_refused_and_told_who_holds_the_store(layout: Layout) -> None:
    with (
        collector_lock(layout),
        pytest.raises(StoreError, match=rf"another collector \(process {os.getpid()}\) writes to this store"),
        collector_lock(layout),
    ):
        pass
    with collector_lock(layout):
        pass
