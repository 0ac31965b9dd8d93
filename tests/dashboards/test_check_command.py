import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import BadInputError

BAD = "virtual_hosts: [{name: generator, routes: [{match: {prefix: /}, route: {cluster: generator}}]}]\n"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "front.yaml"
    path.write_text(BAD)
    return path


def run(*arguments: object):
    return CliRunner().invoke(build(), ["check", *map(str, arguments)], catch_exceptions=False)


def test_findings_exit_1_and_say_what_to_do(manifest: Path) -> None:
    result = run(manifest)
    assert result.exit_code == 1
    assert "front.yaml:1: warning [MS112]" in result.stdout
    assert "instead:" in result.stdout
    assert "1 finding: 0 error, 1 warning, 0 info" in result.stdout


def test_a_place_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "front.yaml"
    path.write_text("\n" * 99 + BAD)
    assert "front.yaml:100: warning [MS112]" in run(path).stdout


def test_fail_on_lets_lesser_findings_pass(manifest: Path) -> None:
    assert run(manifest, "--fail-on", "error").exit_code == 0


def test_no_findings_exit_0(tmp_path: Path) -> None:
    path = tmp_path / "front.yaml"
    path.write_text(BAD.replace("cluster: generator", "cluster: generator, timeout: 45s"))
    result = run(path)
    assert (result.exit_code, result.stdout.strip()) == (0, "no findings")


def test_json_and_sarif(manifest: Path) -> None:
    assert json.loads(run(manifest, "--output", "json").stdout)["items"][0]["code"] == "MS112"
    assert json.loads(run(manifest, "--output", "sarif").stdout)["version"] == "2.1.0"


def test_a_path_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no such file or folder"):
        run(tmp_path / "nowhere")
