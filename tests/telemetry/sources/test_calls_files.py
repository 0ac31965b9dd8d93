"""Calls files: anybody's per-request log."""

import io
import json
from datetime import UTC, datetime
from functools import partialmethod
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meshslo.telemetry.errors import BadConfigError, BadInputError
from meshslo.telemetry.schema import FRAME
from meshslo.telemetry.sources import calls as calls_source
from meshslo.telemetry.sources.column_map import ColumnMap
from meshslo.telemetry.sources.inputs import Stream
from meshslo.telemetry.store import open_store
from tests.support.calls import make_call, make_calls
from tests.telemetry.sources.reading import read, sniffed

NINE = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def one(text: str, **kinds: Any) -> dict[str, Any]:
    """The only call of a file."""
    calls, tally = read(text.encode(), **kinds)
    assert tally.bad == 0, tally.reasons
    return calls.row(0, named=True)


def test_start_and_duration_are_enough() -> None:
    row = one("start,duration_s\n2026-11-02T09:00:00Z,1.5\n")
    assert (row["start"], row["duration_s"], row["outcome"], row["vantage"]) == (NINE, 1.5, "ok", "client")
    assert (row["hop"], row["attempt"], row["weight"]) == ("unknown>unknown", 1, None)
    assert len(row["trace_id"]) == 16
    assert len(row["span_id"]) == 8


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-02T09:00:00Z",
        "2026-11-02T09:00Z",
        "2026-11-02T09Z",
        "2026-11-02T10+01:00",
        "2026-11-02T09:00:00+00:00",
        "2026-11-02T10:00:00+01:00",
        "2026-11-02T10:00:00+0100",
        "2026-11-02T09:00:00",
        "2026-11-02 09:00:00",
        "2026-11-02 09:00:00.000000",
        "2026-11-02 09:00:00 UTC",
        " 2026-11-02T09:00:00.000Z ",
        "1793610000",
        "1793610000.0",
        "1793610000000",
        "1793610000000000",
        "1793610000000000000",
    ],
)
def test_a_start_is_read_as_people_write_it(text: str) -> None:
    assert one(f"start,duration_s\n{text},1\n")["start"] == NINE


def test_nanoseconds_of_a_start_are_kept() -> None:
    calls, _ = read(b"start,duration_s\n1793610000123456789,1\n2026-11-02T09:00:00.123456789Z,1\n")
    assert calls["start"].to_physical().to_list() == [1793610000123456789, 1793610000123456789]


@given(st.integers(0, 4_000_000_000_000))
@settings(deadline=None, max_examples=12)
def test_a_start_in_any_unit_is_the_same_moment(milliseconds: int) -> None:
    # Above this, the size of the number tells milliseconds from seconds.
    milliseconds += 100_000_000_000
    moments = (f"{milliseconds / 1e3:.3f}", f"{milliseconds}", f"{milliseconds}000", f"{milliseconds}000000")
    calls, tally = read(("start,duration_s\n" + "".join(f"{moment},1\n" for moment in moments)).encode())
    assert tally.bad == 0
    assert set(calls["start"].to_physical().to_list()) == {milliseconds * 1_000_000}


def test_a_hop_stands_for_caller_and_callee() -> None:
    row = one("start,duration_s,hop\n2026-11-02T09:00:00Z,1,gateway > generator\n")
    assert (row["caller"], row["callee"], row["hop"]) == ("gateway", "generator", "gateway>generator")


def test_caller_and_callee_make_the_hop() -> None:
    assert one("start,duration_s,caller,callee\n2026-11-02T09:00:00Z,1,a,b\n")["hop"] == "a>b"


@pytest.mark.parametrize(
    ("columns", "outcome"),
    [
        ({"status_code": "503"}, "error"),
        ({"status_code": "429"}, "rejected"),
        ({"status_code": "200", "response_flags": "UT"}, "timeout"),
        ({"status_code": "200", "response_flags": "-"}, "ok"),
        ({"error_type": "ReadTimeout"}, "timeout"),
        ({"grpc_status": "1"}, "cancelled"),
        ({"status_code": "503", "outcome": "Cancelled"}, "cancelled"),
    ],
)
def test_an_outcome_that_is_not_given_is_told_from_the_evidence(columns: dict[str, str], outcome: str) -> None:
    header, values = ",".join(columns), ",".join(columns.values())
    assert one(f"start,duration_s,{header}\n2026-11-02T09:00:00Z,1,{values}\n")["outcome"] == outcome


def written(calls: pl.DataFrame, form: str) -> bytes:
    """Calls as a file of each form, ids in hex."""
    buffer = io.BytesIO()
    if form == "parquet":
        calls.write_parquet(buffer)
    else:
        texts = calls.with_columns(
            pl.col("trace_id", "span_id", "parent_span_id").bin.encode("hex"),
            pl.col("start").dt.strftime("%Y-%m-%dT%H:%M:%S%.9fZ"),
        )
        texts.write_csv(buffer) if form == "csv" else texts.write_ndjson(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_canonical_calls_come_back_as_they_went(form: str) -> None:
    rows = [
        make_call(
            vantage="proxy_out", attempt=2, first_token_s=0.25, chunks=7, mtls=True, response_flags="UT", outcome="timeout"
        ),
        make_call(caller=None, hop="unknown>generator", duration_s=None, first_byte_s=0.5, error_type='a "quoted", one'),
    ]
    calls = make_calls(rows)
    found, tally = read(written(calls, form))
    assert tally.bad == 0, tally.reasons
    assert_frame_equal(found.with_columns(caller=None), calls.with_columns(caller=None))


def test_parquet_of_other_types_is_read_too() -> None:
    buffer = io.BytesIO()
    pl.DataFrame(
        {
            "start": [NINE.replace(tzinfo=None)],
            "duration_s": pl.Series([2], dtype=pl.Int64),
            "model": pl.Series(["m"], dtype=pl.Categorical),
        }
    ).write_parquet(buffer)
    calls, _ = read(buffer.getvalue())
    assert calls.select("start", "duration_s", "model").row(0) == (NINE, 2.0, "m")


@pytest.mark.parametrize("start", ["1026-11-02T09:00:00Z", "2500-01-01T00:00:00Z", "9999-12-31T23:59:59"])
def test_a_year_beyond_64_bits_of_nanoseconds_is_no_time(start: str) -> None:
    _, tally = read(f"start,duration_s\n{start},1\n2026-11-02T09:00:00Z,1\n".encode())
    assert (tally.bad, tally.taken) == (1, 1)


def test_a_time_is_read_the_same_whatever_stands_beside_it() -> None:
    texts = ("2026-11-02T09:00:00.123456789Z", "2026-11-02T09:00Z", "2026-11-02 09:00:00+00:00")
    alone = [one(f"start,duration_s\n{text},1\n")["start"] for text in texts]
    together, _ = read(("start,duration_s\n" + "".join(f"{text},1\n" for text in (*texts, "1793610000"))).encode())
    assert together["start"].to_list()[:3] == alone


@pytest.mark.parametrize(
    ("columns", "values", "reason"),
    [
        ("first_token_s,duration_s", "5,1", "first_token_s 5.0 is longer than duration_s 1.0"),
        ("first_byte_s,duration_s", "1.5,1", "first_byte_s 1.5 is longer than duration_s 1.0"),
        ("first_byte_s,first_token_s,duration_s", "0.5,0.2,1", "first_byte_s 0.5 is longer than first_token_s 0.2"),
        ("max_gap_s,duration_s", "2,1", "max_gap_s 2.0 is longer than duration_s 1.0"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(columns: str, values: str, reason: str) -> None:
    _, tally = read(f"start,{columns}\n1793610000,{values}\n".encode())
    assert [str(bad) for bad in tally.reasons] == [f"log:2: {reason}"]


def test_times_that_were_rounded_apart_do_not_contradict() -> None:
    assert one("start,first_token_s,duration_s\n1793610000,1.0004,1.0\n")["first_token_s"] == 1.0004


@pytest.mark.parametrize(
    ("column", "meant"),
    [("latency_ms", "duration_s"), ("modle", "model"), ("latency", "duration_s:UNIT"), ("ttft_ms", "first_token_s")],
)
def test_an_unknown_column_is_told_what_it_may_be(column: str, meant: str) -> None:
    with pytest.raises(BadInputError, match=f"unknown column {column}. Rename with --map {column}={meant},"):
        read(f"start,duration_s,{column}\n1793610000,1,1\n".encode())


def test_a_header_with_other_names_is_one_of_calls() -> None:
    assert sniffed(b"timestamp,latency_ms,service\n2026-11-02T09:00:00Z,12,generator\n") == "calls"
    assert sniffed(b"when,latency_ms,svc\n2026-11-02T09:00:00Z,12,generator\n") == "calls"
    assert sniffed(b"time,colour\n2026-11-02T09:00:00Z,red\n") is None


GOOD = "2026-11-02T09:00:00Z,1,ok\n"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("yesterday,1,ok", "start 'yesterday' is no time (ISO 8601, or epoch s, ms, us or ns)"),
        (",1,ok", "no start"),
        ("2026-11-02T09:00:00Z,,ok", "no duration_s"),
        ("2026-11-02T09:00:00Z,-1,ok", "duration_s '-1' is no duration (seconds, not negative)"),
        ("2026-11-02T09:00:00Z,inf,ok", "duration_s 'inf' is no duration (seconds, not negative)"),
        ("2026-11-02T09:00:00Z,soon,ok", "duration_s 'soon' is no duration (seconds, not negative)"),
        ("2026-11-02T09:00:00Z,1,fine", "outcome 'fine' is none of ok, error, timeout, cancelled, rejected"),
        ("2026-11-02T09:00:00Z,1,ok,more", "4 fields where the header has 3"),
    ],
)
def test_a_bad_line_is_named_and_the_others_kept(line: str, reason: str) -> None:
    calls, tally = read(f"start,duration_s,outcome\n{GOOD}{line}\n{GOOD}".encode())
    assert [str(bad) for bad in tally.reasons] == [f"log:3: {reason}"]
    assert (calls.height, tally.taken, tally.bad) == (2, 2, 1)


def test_bytes_that_are_no_text_are_named() -> None:
    calls, tally = read(b"start,duration_s,tenant\n1793610000,1,\xff\xfe\n1793610000,1,t\n")
    assert (calls.height, str(tally.reasons[0])) == (1, "log:2: not UTF-8")


def test_every_bad_line_is_counted_and_the_first_are_named() -> None:
    _, tally = read(b"start,duration_s\n" + b"x,1\n" * 12 + b"1793610000,1\n")
    assert (tally.bad, len(tally.reasons), tally.taken) == (12, 5, 1)
    assert tally.bad_ratio == pytest.approx(12 / 13)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("chunks", "1.5"),
        ("chunks", "-1"),
        ("attempt", "300"),
        ("status_code", "40000"),
        ("streaming", "maybe"),
        ("trace_id", "abc"),
        ("hop", "a"),
        ("vantage", "moon"),
    ],
)
def test_a_value_that_does_not_fit_its_column_makes_the_line_bad(column: str, value: str) -> None:
    calls, tally = read(f"start,duration_s,{column}\n1793610000,1,{value}\n".encode())
    assert (calls.height, tally.bad) == (0, 1)
    assert tally.reasons[0].reason.startswith(f"{column} '{value}' is ")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in blocks of 64 bytes."""
    monkeypatch.setattr(Stream, "blocks", partialmethod(Stream.blocks, 64))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("header", [b"start,duration_s\n", b""])
def test_line_numbers_go_on_from_block_to_block(header: bytes) -> None:
    good, bad = (b"1793610000,1\n", b"x,1\n") if header else (b'{"start": 1793610000, "duration_s": 1}\n', b"{}\n")
    calls, tally = read(header + good * 20 + bad + good * 20)
    assert (calls.height, [each.line for each in tally.reasons]) == (40, [22 if header else 21])
    assert calls.n_unique("span_id") == 40


@pytest.mark.usefixtures("small_blocks")
def test_words_that_come_and_go_from_block_to_block_stay_in_their_rows() -> None:
    models = [*["a"] * 9, *[""] * 9, *[" b "] * 9, *["a"] * 9]
    calls, _ = read(("start,duration_s,model\n" + "".join(f"1793610000,1,{model}\n" for model in models)).encode())
    assert calls["model"].to_list() == [model.strip() or None for model in models]


@pytest.mark.usefixtures("small_blocks")
def test_blocks_coded_apart_are_put_together_as_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshslo.telemetry.sources.words._MAX_SHARED", 1)
    models = [f"model-{number}" for number in range(30)]
    calls, _ = read(("start,duration_s,model\n" + "".join(f"1793610000,1,{model}\n" for model in models)).encode())
    assert calls["model"].to_list() == models


@pytest.mark.usefixtures("small_blocks")
def test_a_quoted_line_break_at_the_edge_of_a_block_stays_in_its_record() -> None:
    text = "start,duration_s,error_type\n" + '1793610000,1,"one\ntwo"\n' * 20
    calls, tally = read(text.encode())
    assert (calls["error_type"].unique().to_list(), calls.height, tally.bad) == (["one\ntwo"], 20, 0)


def test_a_quoted_line_break_stays_in_its_record() -> None:
    calls, tally = read(b'start,duration_s,error_type\n1793610000,1,"two\nlines"\n1793610000,1,"a ""b"""\n')
    assert (calls["error_type"].to_list(), tally.bad) == (["two\nlines", 'a "b"'], 0)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_in_the_header(delimiter: str) -> None:
    assert (
        one(delimiter.join(["start", "duration_s", "model"]) + "\n" + delimiter.join(["1793610000", "2", "m"]) + "\n")["model"]
        == "m"
    )


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm() -> None:
    assert one("\ufeffstart,duration_s,model\r\n1793610000,1,m\r\n")["model"] == "m"


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_unknown_column_is_named_with_the_allowed_ones(form: str) -> None:
    text = "start,duration_s,colour\n1,2,3\n" if form == "csv" else '{"start": 1, "duration_s": 2, "colour": 3}\n'
    with pytest.raises(BadInputError, match=r"unknown column colour; allowed are trace_id, .*--map colour=NAME"):
        read(text.encode())


def test_a_file_without_durations_says_what_it_has() -> None:
    with pytest.raises(BadInputError, match="no column duration_s among start, model; say which it is"):
        read(b"start,model\n1,m\n")


def test_a_column_can_be_renamed_converted_or_left_out() -> None:
    maps = ("when=start", "latency_ms->duration_s", "ttft=first_token_s:ms", "secret=")
    row = one("when,latency_ms,ttft,secret\n1793610000,1500,250,x\n", maps=maps)
    assert (row["start"], row["duration_s"], row["first_token_s"]) == (NINE, 1.5, 0.25)
    assert "x" not in row.values()


def test_a_column_can_be_one_value_throughout() -> None:
    row = one("start,duration_s\n1793610000,1\n", constants=("hop=a>b", "vantage=server", "model=m"))
    assert (row["hop"], row["caller"], row["vantage"], row["model"]) == ("a>b", "a", "server", "m")


@pytest.mark.parametrize(
    ("maps", "constants", "message"),
    [
        (("latency",), (), "is not FILE_COLUMN=NAME"),
        (("latency=took",), (), "'took' is no column of a call"),
        (("latency=duration_s:fortnight",), (), "'fortnight' is no unit; use one of ns, us, ms, s, min"),
        (("a=model:ms",), (), "model has no unit"),
        ((), ("vantage",), "is not NAME=VALUE"),
        ((), ("colour=red",), "'colour' is no column of a call"),
    ],
)
def test_a_map_that_says_nothing_is_refused(maps: tuple[str, ...], constants: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadConfigError, match=message):
        ColumnMap.parse(maps, constants)


def test_two_columns_for_one_are_refused() -> None:
    with pytest.raises(BadInputError, match="two columns become duration_s"):
        read(b"start,duration_s,latency_ms\n1,2,3\n", maps=("latency_ms=duration_s",))


def test_equal_lines_are_different_calls_and_a_second_reading_gives_the_same_ids() -> None:
    text = b"start,duration_s,model\n" + b"1793610000,1,m\n" * 3
    first, again = read(text)[0], read(text)[0]
    assert first.n_unique(["trace_id", "span_id"]) == 3
    assert_frame_equal(first, again)


def test_ids_are_the_same_on_every_machine_and_day() -> None:
    row = one("start,duration_s,model\n1793610000,1,m\n")
    assert (row["trace_id"].hex(), row["span_id"].hex()) == ("082139c2a65887e6a85cc8cccd6add7f", "cc39c6e092ca19d6")


def test_ids_that_are_given_are_kept() -> None:
    row = one(f"start,duration_s,trace_id\n1793610000,1,{'ab' * 16}\n")
    assert row["trace_id"] == bytes.fromhex("ab" * 16)
    assert len(row["span_id"]) == 8


def test_calls_with_parents_complete_each_other() -> None:
    lines = [
        {"start": 1793610000, "duration_s": 2, "vantage": "client", "caller": "a", "trace_id": "ab" * 16, "span_id": "01" * 8},
        {
            "start": 1793610000,
            "duration_s": 1,
            "vantage": "server",
            "callee": "b",
            "trace_id": "ab" * 16,
            "span_id": "02" * 8,
            "parent_span_id": "01" * 8,
        },
    ]
    calls, _ = read("\n".join(map(json.dumps, lines)).encode())
    assert calls["hop"].to_list() == ["a>b", "a>b"]


def test_an_empty_file_has_no_calls() -> None:
    assert read(b"")[0].is_empty()
    assert read(b"start,duration_s\n")[0].is_empty()


def test_damaged_parquet_is_named() -> None:
    with pytest.raises(BadInputError, match="no Parquet that can be read"):
        read(b"PAR1 and then something else entirely")


@pytest.mark.slow
@given(st.binary(max_size=300))
@settings(deadline=None, max_examples=30)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for head in (b"start,duration_s\n", b'{"start": 1, "duration_s": 1}\n'):
        try:
            calls, tally = read(head + data)
        except BadInputError as error:
            assert "unknown column" in str(error)  # noqa: PT017  # either way of ending is fine
            continue
        assert calls.schema == FRAME
        assert tally.taken == calls.height


_FIELDS = {
    "start": ["1793610000", "2026-11-02T09:00:00Z", " 2026-11-02T09:00:00Z", "2026-11-02 09:00", "", "soon"],
    "duration_s": ["1", "2.5", '"3"', " 4", "5 ", "+6", ".7", "8.", "9e0", "inf", "NaN", "-1", "1e999", "1_0", "", "-", '""'],
    "first_token_s": ["0.25", "null", "7", ""],
    "status_code": ["200", "200.0", "2e2", "1.5", "99999", "-0", "0x1", "", '" 200"'],
    "tenant": ["t", " t ", "", "null", '"a,b"', '"say ""hi"""', '"two\nlines"', "5", "\udcff", "ü"],
    "outcome": ["ok", "OK ", "fine", ""],
    "streaming": ["true", "0", "maybe", ""],
}
_LINES = st.tuples(*(st.sampled_from([values[0]] * 8 + values) for values in _FIELDS.values())).map(",".join)


@pytest.mark.slow
@given(st.lists(_LINES | st.sampled_from(["", ",,,,,,", "1793610000,1", "1,2,3,4,5,6,7,8", '"']), max_size=8))
@settings(deadline=None, max_examples=60)
def test_csv_that_is_read_quickly_says_what_it_says_line_by_line(lines: list[str]) -> None:
    data = "\n".join([",".join(_FIELDS), *lines]).encode("utf-8", "surrogateescape")
    quick, quick_tally = read(data)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(calls_source, "_csv_sound", lambda *_: None)
        careful, careful_tally = read(data)
    assert_frame_equal(quick, careful)
    assert quick_tally == careful_tally


def test_a_file_imported_twice_counts_once(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store", create=True)
    text = b"start,duration_s\n" + b"1793610000,1\n" * 10
    for _ in range(2):
        store.append(read(text)[0], source="test")
    assert store.scan().collect().height == 10


def test_a_column_given_twice_over_is_named() -> None:
    with pytest.raises(BadInputError, match="start is given by --set and by the column begin; leave one out"):
        read(b"begin,duration_s\n1793610000,1\n", maps=("begin=start",), constants=("start=1793610000",))


def test_a_record_that_csv_cannot_hold_is_refused_alone() -> None:
    long = b"a" * 200_000
    calls, tally = read(b"start,duration_s,tenant\n1793610000,1,t\n1793610000,1," + long + b"\xff\n1793610000,1,t\n")
    assert (calls.height, tally.bad) == (2, 1)
    assert str(tally.reasons[0]).startswith("log:3: no CSV record: field larger than")
