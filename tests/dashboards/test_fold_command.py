"""`meshslo fold`: folds once, says what it did, and refuses what it cannot fold in a sentence."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from meshslo.analysis import open_store
from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import MeshsloError
from tests.support.calls import make_call, make_calls

runner = CliRunner()


def test_finished_hours_are_folded_once(tmp_path: Path) -> None:
    store = tmp_path / "store"
    calls = open_store(store, create=True)
    calls.add(make_calls([make_call(at_s=-(10.0**6) + 4000.0 * hour) for hour in range(5)]))
    before = calls.report(by=["hop"]).to_json()
    told = runner.invoke(build(), ["fold", "--store", str(store)])
    assert told.exit_code == 0, told.stderr
    assert "folded" in told.stderr
    assert list((store / "folds").rglob("*.totals.parquet"))
    assert open_store(store).report(by=["hop"]).to_json() == before
    again = runner.invoke(build(), ["fold", "--store", str(store)])
    assert "every finished hour is folded" in again.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--store", "absent"], "absent"),
        (["--store", "clickhouse://localhost/otel"], "read in place"),
        (["--store", "absent", "--every", "0m"], "no time at all"),
        (["--store", "absent", "--every", "often"], "is no time"),
    ],
)
def test_what_cannot_be_folded_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    told = runner.invoke(build(), ["fold", *options])
    assert isinstance(told.exception, MeshsloError)
    assert said in str(told.exception)
