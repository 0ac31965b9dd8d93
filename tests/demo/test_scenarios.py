"""Scenarios: each shortened, whole, on the real Envoy."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.demo.flow import BUSY_S
from meshslo.demo.processes import DemoError
from meshslo.demo.scenarios import Scenario, scenario_of, scenarios
from meshslo.demo.scenarios.play import MARK, planned_s
from meshslo.telemetry.errors import BadInputError

RUNS = ("before", "after")

PLANNED_S = 75.0
"""A scenario takes 90 s at most, on a machine that is busy too."""


def test_every_scenario_is_named_in_the_help() -> None:
    said = "".join(CliRunner().invoke(build(), ["demo", "--help"], env={"COLUMNS": "400"}).stdout.split())
    assert {"overloaded-generator", "broken-replica", "slow-replica", "bad-canary"} <= set(scenarios())
    assert {"zone-loss", "provider-outage", "rogue-caller", "unapproved-endpoint"} <= set(scenarios())
    assert all(name in said for name in scenarios())


def test_an_unknown_one_is_answered_with_those_there_are() -> None:
    with pytest.raises(BadInputError, match='no scenario "meteor"; there are bad-canary, broken-replica'):
        scenario_of("meteor")


@pytest.mark.parametrize("scenario", scenarios().values(), ids=lambda each: each.name)
def test_a_load_is_the_same_each_time_and_the_shortened_one_is_shorter(scenario) -> None:
    whole, short = scenario.load(False), scenario.load(True)
    assert whole == scenario.load(False)
    assert [ask.at_s for ask in whole] == sorted(ask.at_s for ask in whole)
    assert 200 < len(short) < len(whole)
    assert planned_s(short) < planned_s(whole) <= PLANNED_S


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DemoError, match=r"thesis\.txt"):
        scenario_of("slow-replica").play(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def runs(folder: Path) -> list[dict[str, Any]]:
    summary = folder / "scenario.json"
    return json.loads(summary.read_text())["runs"] if summary.exists() else []


@pytest.mark.system
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in sorted(scenarios())])
def test_the_second_run_is_better_as_meant(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder, scenario = tmp_path / name, scenario_of(name)
    better = scenario.play(folder, quick=True)
    if any(run.get("lag_s", 0.0) > BUSY_S for run in runs(folder)):
        # A machine that stalls stretches every simulated duration: its runs do not compare. One more try.
        folder = tmp_path / "again" / name
        better = scenario.play(folder, quick=True)
    said = capsys.readouterr()
    assert better, f"{said.out}\n{said.err}"
    before, after = runs(folder)
    assert before["requests"] == after["requests"]
    assert before["answered"] + before["failed"] + before["refused"] == before["requests"]
    assert all(run[ending] >= 0 for run in (before, after) for ending in ("answered", "failed", "refused"))
    assert (folder / MARK).exists()
    first, second = ([yaml.safe_load(file.read_text()) for file in sorted(folder.glob(f"{run}*.yaml"))] for run in RUNS)
    assert len(first) == len(second) > 0
    assert first != second
    assert set(RUNS) <= set(said.out.split())
    assert re.search(r"planned\s+to\s+take\s+\d+\s+s", said.err)


@pytest.mark.parametrize(("better", "code"), [(True, 0), (False, 1)])
def test_the_command_fails_where_it_is_not_better(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, better: bool, code: int
) -> None:
    asked: list[tuple[Path, bool]] = []
    monkeypatch.setattr(Scenario, "play", lambda _, folder, quick: asked.append((folder, quick)) or better)
    command = ["demo", "--quick", "--scenario", "slow-replica", "--out", str(tmp_path)]
    assert CliRunner().invoke(build(), command).exit_code == code
    assert asked == [(tmp_path / "slow-replica", True)]
