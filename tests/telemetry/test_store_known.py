"""Remembering what is stored: quick, within bounds, and never wrong about a row."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshslo.telemetry.store import Store, known, open_store
from meshslo.telemetry.store.hours import hour_of
from meshslo.telemetry.store.known import KnownRows
from meshslo.telemetry.store.snapshot import take
from tests.support.calls import make_call, make_calls


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", create=True)


def call(trace: int, span: int, vantage: str = "server") -> dict[str, object]:
    return make_call(trace_id=trace.to_bytes(16, "big"), span_id=span.to_bytes(8, "big"), vantage=vantage)


def new(memory: KnownRows, store: Store, calls: pl.DataFrame) -> int:
    files = take(store.layout).calls
    return memory.without_stored(calls, hour_of(files[0]), files).height


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from(["client", "server"])), min_size=1, unique=True)
)
def test_a_row_is_known_by_its_whole_key_though_hints_are_shared(tmp_path_factory, keys) -> None:
    store = open_store(tmp_path_factory.mktemp("store"), create=True)
    stored, asked = keys[: len(keys) // 2 + 1], keys
    store.append(make_calls([call(*key) for key in stored]), source="test")
    assert new(KnownRows(), store, make_calls([call(*key) for key in asked])) == len(keys) - len(stored)


@pytest.mark.parametrize("max_hints", [0, 2, 100], ids=["never remembered", "too many to remember", "remembered"])
def test_files_of_others_are_seen_too(store: Store, max_hints: int) -> None:
    memory = KnownRows(max_hints)
    for span in range(1, 6):
        store.append(make_calls([call(1, span)]), source="test")
        assert new(memory, store, make_calls([call(1, n) for n in range(1, 10)])) == 9 - span


def test_stored_files_are_read_once_while_nothing_is_repeated(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append(make_calls([call(1, 1)]), source="test")
    memory, reads = KnownRows(), []
    real = known.scan_files
    monkeypatch.setattr(known, "scan_files", lambda paths: (reads.append(list(paths)), real(paths))[1])
    for span in range(2, 6):
        assert new(memory, store, make_calls([call(1, span)])) == 1
    assert len(reads) == 1


def test_of_files_that_are_too_many_to_remember_only_those_of_the_same_time_are_asked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = [datetime(2025, 1, 1, 10, minute, tzinfo=UTC) for minute in range(10)]
    memory, asked = KnownRows(max_hints=4), []
    for span, start in enumerate(began[:8], 1):
        store.append(make_calls([call(1, span) | {"start": start}]), source="test")
        assert new(memory, store, make_calls([call(1, 99) | {"start": began[9]}])) == 1
    real = known.scan_files
    monkeypatch.setattr(known, "scan_files", lambda paths: (asked.extend(paths), real(paths))[1])
    assert new(memory, store, make_calls([call(1, 99) | {"start": began[9]}])) == 1
    assert asked == []
    assert new(memory, store, make_calls([call(1, n) | {"start": began[1]} for n in (2, 99)])) == 1
    assert len(asked) < 8


def test_rows_without_ids_are_never_known(store: Store) -> None:
    calls = make_calls([make_call(trace_id=None, span_id=None)])
    store.append(calls, source="test")
    assert new(KnownRows(), store, calls) == 1
