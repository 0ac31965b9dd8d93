"""Every answer in every form: as kept in golden files, and within 100 columns of plain text."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.dashboards.presenters import shown
from meshslo.dashboards.printing import Form, put
from meshslo.telemetry.errors import BadInputError
from tests.support.dashboard import filled
from tests.support.golden import assert_golden_text
from tests.support.scenes import plain_calls
from tests.support.shown import ANSWERS

GOLDEN = Path(__file__).parent / "golden" / "printing"
SUFFIXES: dict[Form, str] = {"table": "txt", "markdown": "md", "csv": "csv", "json": "json"}


def printed(name: str, form: Form, folder: Path) -> bytes:
    answer = ANSWERS[name]()
    file = folder / "answer"
    put(answer, shown(answer).presenter.show, form, file)
    return file.read_bytes()


@pytest.mark.parametrize("form", SUFFIXES)
@pytest.mark.parametrize("name", ANSWERS)
def test_answers_read_as_they_did(name: str, form: Form, tmp_path: Path) -> None:
    assert_golden_text(GOLDEN / f"{name}.{SUFFIXES[form]}", printed(name, form, tmp_path).decode())


@pytest.mark.parametrize("name", ANSWERS)
def test_a_table_reads_in_a_pipe(name: str, tmp_path: Path) -> None:
    text = printed(name, "table", tmp_path).decode()
    assert text.isascii()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("name", ANSWERS)
def test_parquet_csv_and_json_hold_every_row(name: str, tmp_path: Path) -> None:
    frame = ANSWERS[name]().frame
    assert pl.read_parquet(io.BytesIO(printed(name, "parquet", tmp_path))).equals(frame)
    rows = list(csv.DictReader(io.StringIO(printed(name, "csv", tmp_path).decode())))
    assert (len(rows), list(rows[0])) == (frame.height, frame.columns)
    assert json.loads(printed(name, "json", tmp_path))["schema"].startswith("meshslo.")


@pytest.mark.parametrize("name", ANSWERS)
def test_markdown_and_html_say_what_the_table_says(name: str, tmp_path: Path) -> None:
    words = {word for word in printed(name, "table", tmp_path).decode().split() if word.isalnum()}
    page = shown(ANSWERS[name]()).html()
    for word in words:
        assert word in page
        assert word in printed(name, "markdown", tmp_path).decode()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"nowhere.*pass another --out"):
        printed("report", "csv", tmp_path / "nowhere")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("printing") / "store", plain_calls([0.1 * n for n in range(1, 200)]))


def command(store: Path, form: Form) -> list[str]:
    program = "from meshslo.dashboards.cli import main; main()"
    return [sys.executable, "-c", program, "report", "--store", str(store), "--output", form]


def test_a_pipe_takes_parquet_and_a_terminal_does_not(store: Path) -> None:
    piped = subprocess.run(command(store, "parquet"), capture_output=True, check=True)
    assert pl.read_parquet(io.BytesIO(piped.stdout))["calls"].to_list() == [199, 199]
    ours, terminal = pty.openpty()
    try:
        refused = subprocess.run(command(store, "parquet"), stdout=terminal, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(ours)
        os.close(terminal)
    assert refused.returncode == 2
    assert refused.stderr.startswith("Error: Parquet is binary")
    assert "--out FILE" in refused.stderr


def test_a_terminal_sees_what_takes_its_time_and_a_pipe_sees_results_only(store: Path) -> None:
    piped = subprocess.run(command(store, "json"), capture_output=True, text=True, check=True)
    assert piped.stderr == ""
    ours, terminal = pty.openpty()
    try:
        watched = subprocess.run(command(store, "json"), stdout=subprocess.PIPE, stderr=terminal, text=True, check=True)
        shown = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(terminal)
    assert "counting calls" in shown
    assert watched.stdout == piped.stdout


def test_a_file_instead_of_the_printing(store: Path, tmp_path: Path) -> None:
    wanted = ["report", "--store", str(store), "--output", "markdown", "--out", str(tmp_path / "report.md")]
    result = CliRunner().invoke(build(), wanted, catch_exceptions=False)
    assert (result.stdout, result.stderr) == ("", f"wrote {tmp_path / 'report.md'}\n")
    assert "| calls | endings | p95 | p99 |" in (tmp_path / "report.md").read_text()


def test_recommendations_need_a_form_or_a_mesh_for_a_file(store: Path, tmp_path: Path) -> None:
    wanted = ["recommend", "--store", str(store), "--out", str(tmp_path / "advice.csv")]
    assert CliRunner().invoke(build(), wanted).exit_code != 0
    CliRunner().invoke(build(), [*wanted, "--output", "csv"], catch_exceptions=False)
    assert (tmp_path / "advice.csv").read_text().startswith("kind,setting,code,hop")
