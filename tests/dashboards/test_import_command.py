"""`meshslo import` as people run it."""

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from meshslo.dashboards.cli import build
from meshslo.telemetry.store import open_store

CALLS = "start,duration_s,hop\n" + "".join(f"179361000{n},1,a>b\n" for n in range(10))


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(build(), ["import", *arguments], input=stdin)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture
def calls(tmp_path: Path) -> str:
    path = tmp_path / "calls.csv"
    path.write_text(CALLS)
    return str(path)


def test_a_calls_file_is_loaded_and_a_second_time_counts_once(calls: str, store: str) -> None:
    assert "10 calls new" in run(calls, "--store", store).output
    assert "0 calls new" in (again := run(calls, "--store", store).output)
    assert "10 were there already" in again
    assert open_store(store).scan().collect()["hop"].to_list() == ["a>b"] * 10


def test_calls_without_ids_that_were_there_already_are_explained(tmp_path: Path, store: str) -> None:
    (tmp_path / "a.csv").write_text(CALLS)
    (tmp_path / "grown.csv").write_text(CALLS + "1793610010,1,a>b\n")
    assert "pod=NAME" not in run(str(tmp_path / "a.csv"), "--store", store).output
    told = run(str(tmp_path / "grown.csv"), "--store", store).output
    assert "1 calls new" in told
    assert "10 were there already" in told
    assert "pod=NAME" in told
    replica = run(str(tmp_path / "grown.csv"), "--store", store, "--set", "pod=b").output
    assert "11 calls new" in replica
    assert "pod=NAME" not in replica


def test_json_output_is_for_programs(calls: str, store: str) -> None:
    result = run(calls, "--store", store, "--output", "json")
    assert json.loads(result.stdout) == {
        "schema": "meshslo.import/1",
        "store": store,
        "files": 1,
        "calls": 10,
        "duplicates": 0,
        "records": 10,
        "bad": 0,
        "reasons": [],
        "left_out": {},
    }


def test_standard_input_is_read_compressed_too(store: str) -> None:
    assert "10 calls new" in run("-", "--store", store, stdin=gzip.compress(CALLS.encode())).output


def test_too_many_bad_lines_exit_1_and_keep_the_rest(tmp_path: Path, store: str) -> None:
    (tmp_path / "calls.csv").write_text(CALLS + "never,1,a>b\n")
    result = run(str(tmp_path / "calls.csv"), "--store", store)
    assert result.exit_code == 1
    assert "calls.csv:12: start 'never' is no time" in result.stderr
    assert "9.1% of the records could not be read, more than --max-bad 5.0%; the rest is kept" in result.stderr
    assert open_store(store).scan().collect().height == 10


def test_few_bad_lines_are_told_and_exit_0(tmp_path: Path, store: str) -> None:
    (tmp_path / "calls.csv").write_text(CALLS + "never,1,a>b\n")
    result = run(str(tmp_path / "calls.csv"), "--store", store, "--max-bad", "0.1")
    assert (result.exit_code, "1 of 11 records could not be read" in result.stderr) == (0, True)


def test_columns_are_mapped_and_set(tmp_path: Path, store: str) -> None:
    (tmp_path / "log.csv").write_text("when,latency_ms\n1793610000,1500\n")
    maps = ("--map", "when=start", "--map", "latency_ms=duration_s", "--set", "hop=a>b")
    result = run(str(tmp_path / "log.csv"), "--store", store, *maps)
    assert result.exit_code == 0
    assert open_store(store).scan().collect().select("duration_s", "hop").row(0) == (1.5, "a>b")


@pytest.mark.parametrize("arguments", [("nothing.csv",), ("x", "--map", "nonsense"), ("x", "--format", "zipkin")])
def test_bad_input_is_one_sentence(
    arguments: tuple[str, ...], store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from meshslo.telemetry.errors import MeshsloError

    monkeypatch.chdir(tmp_path)
    Path("x").write_text(CALLS)
    result = run(*arguments, "--store", store)
    assert isinstance(result.exception, MeshsloError)
    assert "\n" not in str(result.exception)
