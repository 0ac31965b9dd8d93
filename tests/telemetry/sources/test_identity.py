"""Ids of calls that come without: what a file says again counts once, what another file says is another call."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshslo.telemetry.sources.frames import calls_of_frame
from meshslo.telemetry.sources.otlp_logs import calls_of_logs
from tests.support.otlp_logs import logs_of, make_log
from tests.telemetry.sources.reading import read

Row = tuple[float, float | None, str | None, int | None]
Ids = list[tuple[bytes, bytes]]
Writer = Callable[[list[Row]], bytes]

_COLUMNS = ("start", "duration_s", "model", "status_code")
# Few values, so that rows are equal often.
_ROWS = st.tuples(
    st.sampled_from([1793610000.0, 1793610000.5]),
    st.sampled_from([0.25, 1.0]),
    st.sampled_from([None, None, "m", "two\nlines"]),
    st.sampled_from([None, None, 200]),
)
_FILES = st.lists(_ROWS, min_size=1, max_size=6)


def as_csv(rows: list[Row]) -> bytes:
    quoted = (
        [f'"{value}"' if isinstance(value, str) else "" if value is None else str(value) for value in row] for row in rows
    )
    return "\n".join([",".join(_COLUMNS), *map(",".join, quoted), ""]).encode()


def as_json(rows: list[Row]) -> bytes:
    return "".join(json.dumps(dict(zip(_COLUMNS, row, strict=True))) + "\n" for row in rows).encode()


def ids(calls: pl.DataFrame) -> Ids:
    return calls.select("trace_id", "span_id").rows()


_FORMS = pytest.mark.parametrize("written", [as_csv, as_json])


@_FORMS
@given(_FILES, _FILES)
@settings(deadline=None, max_examples=50)
def test_a_file_that_has_grown_says_its_first_calls_again(written: Writer, rows: list[Row], more: list[Row]) -> None:
    grown = ids(read(written(rows + more))[0])
    assert ids(read(written(rows))[0]) == grown[: len(rows)]
    assert len({*grown}) == len(grown)


@_FORMS
@given(_FILES, _FILES)
@settings(deadline=None, max_examples=50)
def test_files_that_begin_differently_share_no_id(written: Writer, rows: list[Row], others: list[Row]) -> None:
    shared = {*ids(read(written(rows))[0])} & {*ids(read(written(others))[0])}
    assert rows[0] == others[0] or not shared


def test_a_broken_line_further_down_leaves_the_ids_above_alone() -> None:
    rows: list[Row] = [(1793610000.0, 1.0, "two\nlines", None), (1793610000.0, 1.0, "m", 200)]
    assert ids(read(as_csv(rows) + b"1,2,3,4,5,6\n")[0]) == ids(read(as_csv(rows))[0])


def test_a_mended_line_is_the_only_new_call() -> None:
    lines = [b"start,duration_s", b"1793610000,1", b"1793610000,soon", b"1793610001,1", b""]
    before = ids(read(b"\n".join(lines))[0])
    after = ids(read(b"\n".join(lines).replace(b"soon", b"2"))[0])
    assert [after[0], after[2]] == before


def test_replicas_told_apart_by_a_column_share_no_id() -> None:
    text = as_csv([(1793610000.0, 1.0, None, None)] * 3)
    a, b = (ids(read(text, constants=(f"pod={pod}",))[0]) for pod in "ab")
    assert not {*a} & {*b}


def test_frames_that_begin_differently_share_no_id() -> None:
    start = datetime(2026, 11, 2, 9, tzinfo=UTC)
    first, second = (
        calls_of_frame(pl.DataFrame({"start": [start] * 3, "duration_s": [begin, 1.0, 1.0]})).calls for begin in (2.0, 3.0)
    )
    assert not {*ids(first)} & {*ids(second)}


def test_equal_records_of_two_pods_are_two_calls() -> None:
    a, b = (calls_of_logs(logs_of([make_log()], **{"k8s.pod.name": pod}).SerializeToString()) for pod in ("a", "b"))
    assert ids(a) != ids(b)
