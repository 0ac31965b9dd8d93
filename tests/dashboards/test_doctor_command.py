"""`meshslo doctor` on a store: what it prints, and when it exits 1."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import StoreError
from meshslo.telemetry.store import open_store
from tests.support.calls import make_call, make_calls


@pytest.fixture
def store(tmp_path: Path) -> Path:
    rows = [
        make_call(at_s=number, first_token_s=0.2, max_gap_s=0.1, tenant=None if number < 30 else "t") for number in range(100)
    ]
    open_store(tmp_path / "store", create=True).append(make_calls(rows), source="test")
    return tmp_path / "store"


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(build(), ["doctor", *words], catch_exceptions=False)
    return result.exit_code, result.stdout


def test_the_table_names_hops_and_findings(store: Path) -> None:
    code, printed = run("--store", str(store))
    assert code == 1
    assert "gateway>generator" in printed
    assert "warning MS903 gateway>generator: 30 % of the calls have no tenant" in printed


def test_json_for_programs(store: Path) -> None:
    code, printed = run("--store", str(store), "--output", "json", "--fail-on", "never")
    document = json.loads(printed)
    assert code == 0
    assert document["schema"] == "meshslo.doctor/1"
    assert document["hops"][0]["tenant"] == 70
    assert [finding["code"] for finding in document["findings"]] == ["MS903"]


def test_only_the_window_asked_for(store: Path) -> None:
    code, printed = run("--store", str(store), "--since", "2026-11-02T09:00:30Z", "--output", "json")
    assert code == 0
    assert json.loads(printed)["findings"] == []


def test_findings_below_the_severity_asked_for_do_not_fail(store: Path) -> None:
    assert run("--store", str(store), "--fail-on", "error")[0] == 0


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        run("--store", str(tmp_path / "nothing"))
