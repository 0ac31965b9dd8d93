"""Files into a store."""

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from google.protobuf.json_format import MessageToDict

from meshslo.telemetry.errors import BadConfigError, BadInputError
from meshslo.telemetry.sources import Source, sources
from meshslo.telemetry.sources.inputs import Input, expand
from meshslo.telemetry.sources.load import LoadSettings, load
from meshslo.telemetry.store import Store, open_store
from tests.telemetry.normalize.otlp import CLIENT, SERVER, Spec, export, spec


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", create=True)


def write(path: Path, text: str) -> Input:
    path.write_text(text)
    return Input(path.name, path)


def lines(*specs: Spec) -> str:
    return "".join(json.dumps(MessageToDict(export(each))) + "\n" for each in specs)


CALLS = "start,duration_s\n" + "1793610000,1\n" * 9


def test_a_file_imported_twice_counts_once(store: Store, tmp_path: Path) -> None:
    calls = write(tmp_path / "calls.csv", CALLS)
    assert (load(store, [calls]).rows, load(store, [calls]).duplicates) == (9, 9)
    assert store.scan().collect().height == 9


def test_traces_meet_across_files(store: Store, tmp_path: Path) -> None:
    client = write(tmp_path / "client.jsonl", lines(spec(1, "a", CLIENT)))
    server = write(tmp_path / "server.jsonl", lines(spec(2, "b", SERVER, 1)))
    assert load(store, [client, server]).files == 2
    assert store.scan().collect()["hop"].to_list() == ["a>b", "a>b"]


def test_when_too_many_wait_whole_traces_are_passed_on(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshslo.telemetry.sources.otlp._GATHER_ROWS", 2)
    specs = [item for n in range(20) for item in (spec(1, "a", CLIENT, trace=n + 1), spec(2, "b", SERVER, 1, trace=n + 1))]
    loaded = load(store, [write(tmp_path / "spans.jsonl", lines(*specs))], LoadSettings(held_spans=6))
    assert loaded.rows == 40
    assert store.scan().collect()["hop"].unique().to_list() == ["a>b"]


def test_what_was_read_before_an_error_is_kept(store: Store, tmp_path: Path) -> None:
    inputs = [
        write(tmp_path / "spans.jsonl", lines(spec(1, "a", SERVER))),
        write(tmp_path / "calls.csv", CALLS),
        write(tmp_path / "picture", "GIF89a"),
    ]
    with pytest.raises(
        BadInputError, match=r"picture begins like none of calls, .*otlp.*: b'GIF89a'; name its kind with --format"
    ):
        load(store, inputs)
    assert store.scan().collect().height == 10


def test_bad_records_of_all_files_are_counted_with_the_first_named(store: Store, tmp_path: Path) -> None:
    inputs = [write(tmp_path / f"{n}.csv", "start,duration_s\nx,1\nx,1\nx,1\n1793610000,1\n") for n in range(3)]
    loaded = load(store, inputs)
    assert (loaded.files, loaded.taken, loaded.bad, loaded.bad_ratio) == (3, 3, 9, 0.75)
    assert [(bad.name, bad.line) for bad in loaded.reasons] == [
        ("0.csv", 2),
        ("0.csv", 3),
        ("0.csv", 4),
        ("1.csv", 2),
        ("1.csv", 3),
    ]


def test_spans_that_are_no_call_are_counted(store: Store, tmp_path: Path) -> None:
    loaded = load(store, [write(tmp_path / "spans.jsonl", lines(spec(1, "a", SERVER), spec(2, "a", 1, 1)))])
    assert loaded.left_out == {"internal": 1}


def test_a_named_format_is_not_guessed(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"calls.csv is no OTLP: neither JSON nor protobuf, but b'start,"):
        load(store, [write(tmp_path / "calls.csv", CALLS)], LoadSettings(source="otlp"))


def test_a_format_that_there_is_not_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadConfigError, match=r"--format 'zipkin' is not known; use one of auto, calls, .*otlp, tempo"):
        load(store, [write(tmp_path / "calls.csv", CALLS)], LoadSettings(source="zipkin"))


def test_an_empty_file_brings_nothing(store: Store, tmp_path: Path) -> None:
    assert load(store, expand([str(write(tmp_path / "empty.csv", "").path)])).rows == 0


def test_progress_tells_the_bytes_that_were_read(store: Store, tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    load(store, [write(tmp_path / "calls.csv", CALLS)], progress=lambda each, position: told.append((each.name, position)))
    assert told == [("calls.csv", len(CALLS))]


@pytest.mark.parametrize("source", sources().values(), ids=lambda source: source.name)
def test_every_source_keeps_the_contract(source: Source) -> None:
    assert source.gives in ("spans", "calls")
    assert not source.sniff(b"")
    assert not source.sniff(b"\x89PNG\r\n\x1a\n")
    assert source.name == source.name.lower()


def test_an_import_does_not_load_pandas(tmp_path: Path) -> None:
    calls = pl.DataFrame({"start": [1793610000.0], "duration_s": [1.0], "model": ["m"], "weight": [2.0]})
    calls.write_csv(tmp_path / "calls.csv")
    calls.write_ndjson(tmp_path / "calls.jsonl")
    calls.write_parquet(tmp_path / "calls.parquet")
    program = (
        "import sys; from pathlib import Path; from meshslo.telemetry.sources.inputs import Input;"
        "from meshslo.telemetry.sources.load import load; from meshslo.telemetry.store import open_store;"
        "folder = Path(sys.argv[1]);"
        "inputs = [Input(path.name, path) for path in folder.glob('calls.*')];"
        "print(load(open_store(folder / 'store', create=True), inputs).taken, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "False"]
