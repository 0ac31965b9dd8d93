"""`meshslo security`: what is exposed, and the exit code that a pipeline reads."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from meshslo.dashboards.cli import build
from tests.support.dashboard import filled
from tests.support.guarded import CONFIG, guarded_calls


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("security")
    filled(folder / "store", guarded_calls())
    (folder / "approved.toml").write_text(CONFIG)
    (folder / "calm.toml").write_text('[egress]\napproved_hosts = ["*"]\n[boundary]\ntenant_facing = ["*"]\n')
    return folder


def asked(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(build(), ["security", "--store", str(folder / "store"), *options])


def test_callers_hosts_and_findings_are_printed(folder: Path) -> None:
    result = asked(folder, "--config", str(folder / "approved.toml"))
    assert result.exit_code == 1
    assert "error MS434 models.example.org: retriever made 37 calls of embed-small to it" in " ".join(result.stdout.split())
    for words in ("caller proved", "Hosts outside the mesh", "MS431", "MS435", "laptop"):
        assert words in result.stdout


@pytest.mark.parametrize(
    ("config", "fail_on", "code"),
    [("approved", "error", 1), ("approved", "never", 0), ("calm", "error", 0), ("calm", "note", 1)],
)
def test_it_fails_on_what_it_is_told_to(folder: Path, config: str, fail_on: str, code: int) -> None:
    assert asked(folder, "--config", str(folder / f"{config}.toml"), "--fail-on", fail_on).exit_code == code


def test_its_json_holds_the_evidence(folder: Path) -> None:
    found = json.loads(asked(folder, "--config", str(folder / "approved.toml"), "--output", "json").stdout)
    (plain,) = [finding for finding in found["findings"] if finding["code"] == "MS431"]
    assert (plain["calls"], plain["callers"], plain["severity"]) == (40, ["gateway"], "error")
    assert found["window"]["start"] < found["window"]["end"]
    assert sum(edge["calls"] for edge in found["edges"]) == 2234
