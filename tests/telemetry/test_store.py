"""The store as its users see it: what is opened, what is appended, what a scan gives."""

import json
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from meshslo.telemetry.errors import StoreError
from meshslo.telemetry.schema import FRAME, WORDS
from meshslo.telemetry.store import Appended, Store, open_store
from tests.support.calls import EPOCH, make_call, make_calls


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", create=True)


def spans_in(calls: pl.LazyFrame) -> list[bytes]:
    return calls.sort("start").collect()["span_id"].to_list()


def test_a_new_store_has_no_calls_and_the_row_of_every_other(store: Store) -> None:
    assert open_store(store.path).scan().collect_schema() == FRAME
    assert open_store(store.path).scan().collect().is_empty()


def test_appended_calls_are_scanned_as_they_were(store: Store) -> None:
    calls = make_calls([make_call(), make_call(caller="a", outcome="timeout", first_token_s=0.2)])
    assert store.append(calls, source="test") == Appended(2, 0)
    assert open_store(store.path).scan().sort("span_id").collect().equals(calls)


def test_a_call_counts_once_however_often_it_comes(store: Store) -> None:
    calls = make_calls([make_call(), make_call()])
    store.append(calls, source="test")
    more = make_calls([make_call()])
    assert store.append(pl.concat([calls, more, more]), source="test") == Appended(1, 3)
    assert store.scan().collect().height == 3


def test_the_same_call_from_another_vantage_is_another_row(store: Store) -> None:
    call = make_call()
    store.append(make_calls([call]), source="test")
    assert store.append(make_calls([{**call, "vantage": "client"}]), source="test") == Appended(1, 0)


def test_calls_without_ids_are_all_kept(store: Store) -> None:
    calls = make_calls([make_call(trace_id=None, span_id=None), make_call(trace_id=None, span_id=None)])
    assert store.append(calls, source="test") == Appended(2, 0)
    assert store.append(calls, source="test") == Appended(2, 0)
    assert store.scan().collect().height == 4


def test_a_still_store_shows_one_moment(store: Store) -> None:
    store.append(make_calls([make_call()]), source="test")
    still = store.still()
    store.append(make_calls([make_call(at_s=7200)]), source="test")
    assert (still.scan().collect().height, store.scan().collect().height) == (1, 2)
    assert still.scan(since=EPOCH + timedelta(hours=1)).collect().is_empty()


def test_a_window_holds_its_start_and_not_its_end(store: Store) -> None:
    calls = make_calls([make_call(at_s=at_s) for at_s in (0, 3599, 3600, 7200)])
    store.append(calls, source="test")
    ids = calls["span_id"].to_list()
    assert spans_in(store.scan(EPOCH, EPOCH + timedelta(hours=2))) == ids[:3]
    assert spans_in(store.scan(since=EPOCH + timedelta(seconds=3600))) == ids[2:]
    assert spans_in(store.scan(until=EPOCH + timedelta(seconds=3599))) == ids[:1]
    assert spans_in(store.scan(since=EPOCH + timedelta(days=2))) == []


def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        store.scan(since=EPOCH.replace(tzinfo=None))


def test_every_call_lies_in_its_own_hour(store: Store) -> None:
    store.append(make_calls([make_call(at_s=0), make_call(at_s=3600), make_call(at_s=-86400)]), source="my import/1")
    folders = sorted(str(path.parent.relative_to(store.layout.calls)) for path in store.path.rglob("*.parquet"))
    assert folders == ["date=2026-11-01/hour=09", "date=2026-11-02/hour=09", "date=2026-11-02/hour=10"]
    assert all(path.name.endswith("-myimport1.parquet") for path in store.path.rglob("*.parquet"))


def test_files_hold_words_as_dictionaries_in_zstd(store: Store) -> None:
    store.append(make_calls([make_call() for _ in range(10)]), source="test")
    (path,) = store.path.rglob("*.parquet")
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert all("RLE_DICTIONARY" in columns[name].encodings for name in WORDS)
    assert not any("RLE_DICTIONARY" in columns[name].encodings for name in ("trace_id", "span_id", "start", "duration_s"))
    assert columns["start"].statistics.has_min_max


def test_what_is_no_call_row_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="not columns of a call: latency"):
        store.append(pl.DataFrame({"latency": [1.0]}), source="test")


def test_nothing_to_append_is_nothing_appended(store: Store) -> None:
    assert store.append(pl.DataFrame(schema=FRAME), source="test") == Appended(0, 0)


def write_marker(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "meshslo-store.json").write_text(content)
    return path


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: path / "absent", "does not exist: `meshslo collect --store"),
        (lambda path: path, "is no meshslo store"),
        (
            lambda path: write_marker(path / "new", '{"format": 99}'),
            "made by a newer meshslo .format 99, this one reads 1.: upgrade",
        ),
        (lambda path: write_marker(path / "bad", "{"), "not readable as a store's marker"),
        (lambda path: write_marker(path / "odd", '{"format": "1"}'), "is no version"),
    ],
)
def test_what_is_no_store_is_named(tmp_path: Path, make, complaint: str) -> None:
    with pytest.raises(StoreError, match=complaint):
        open_store(make(tmp_path))


def test_a_store_is_not_made_among_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(StoreError, match="holds other files"):
        open_store(tmp_path, create=True)
    with pytest.raises(StoreError, match="is a file"):
        open_store(tmp_path / "thesis.tex", create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_store_is_made_in_an_empty_folder_and_opened_again(tmp_path: Path) -> None:
    open_store(tmp_path, create=True).append(make_calls([make_call()]), source="test")
    assert open_store(tmp_path, create=True).scan().collect().height == 1
    assert json.loads((tmp_path / "meshslo-store.json").read_text())["format"] == 1


def test_a_file_is_never_seen_half_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append(make_calls([make_call()]), source="test")

    def crash(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("meshslo.telemetry.store.hours.sync_file", crash)
    with pytest.raises(OSError, match="No space"):
        store.append(make_calls([make_call()]), source="test")
    monkeypatch.undo()
    assert store.scan().collect().height == 1
    assert store.append(make_calls([make_call()]), source="test") == Appended(1, 0)


def test_times_keep_their_nanoseconds_and_zone(store: Store) -> None:
    start = pl.Series([1_762_074_000_123_456_789]).cast(pl.Datetime("ns", "UTC"))
    store.append(make_calls([make_call()]).with_columns(start=start), source="test")
    assert store.scan().collect()["start"].equals(start.alias("start"))
