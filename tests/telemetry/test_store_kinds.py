"""Files that number the kinds of their calls: the number tells the words, and other readers see plain calls."""

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from meshslo.telemetry.schema import to_arrow
from meshslo.telemetry.store import kinds
from meshslo.telemetry.store.hours import scan_files, write_calls
from meshslo.telemetry.store.kinds import KIND, KIND_WORDS, WEIGHS, scan_numbered
from tests.support.calls import make_call, make_calls

CALLS = make_calls(
    [make_call(tenant=f"t{n % 3}", model=None if n % 2 else "m", streaming=None if n % 5 else True) for n in range(40)]
    + [make_call(outcome="timeout", weight=2.5), make_call(weight=None), make_call(route=None)]
)


def write(path: Path, calls: pl.DataFrame = CALLS, parts: int = 3) -> Path:
    write_calls(path, (to_arrow(part) for part in calls.iter_slices(-(-calls.height // parts))))
    return path


def test_the_number_of_a_call_tells_its_words(tmp_path: Path) -> None:
    numbered, others = scan_numbered([write(tmp_path / "a.parquet"), write(tmp_path / "b.parquet", CALLS.reverse())])
    assert numbered is not None
    assert others == []
    words = numbered.words.with_row_index(KIND)
    told = numbered.rows.collect().join(words, on=KIND, how="left", maintain_order="left")
    both = pl.concat([CALLS, CALLS.reverse()])
    assert_frame_equal(told.select(KIND_WORDS), both.select(KIND_WORDS))
    assert told[WEIGHS].to_list() == [weight not in (1.0, None) for weight in both["weight"]]
    assert_frame_equal(told.select("start", "duration_s", "weight"), both.select("start", "duration_s", "weight"))


def test_each_kind_has_one_number_whatever_the_parts(tmp_path: Path) -> None:
    for parts in (1, 3, CALLS.height):
        numbered, _ = scan_numbered([write(tmp_path / f"{parts}.parquet", parts=parts)])
        assert numbered is not None
        assert numbered.words.is_unique().all()


def test_readers_of_calls_do_not_see_it(tmp_path: Path) -> None:
    assert_frame_equal(scan_files([write(tmp_path / "a.parquet")]).collect(), CALLS)


def test_a_file_of_too_many_kinds_is_read_by_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "MAX_KINDS", 5)
    path = write(tmp_path / "a.parquet")
    assert scan_numbered([path]) == (None, [path])
    assert pq.read_table(path, columns=[KIND])[KIND].null_count > 0
    assert_frame_equal(scan_files([path]).collect(), CALLS)


def test_a_file_without_numbers_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "old.parquet"
    pq.write_table(to_arrow(CALLS), path)
    assert scan_numbered([path]) == (None, [path])
