import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import BadConfigError, BadInputError

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
    assert result.stderr.startswith("not looked for, as only calls show it (pass --store): MS111, ")


def test_json_and_sarif(manifest: Path) -> None:
    assert json.loads(run(manifest, "--output", "json").stdout)["items"][0]["code"] == "MS112"
    assert json.loads(run(manifest, "--output", "sarif").stdout)["version"] == "2.1.0"


def test_a_finding_alone_begins_a_line_however_long_it_is(manifest: Path) -> None:
    lines = run(manifest).stdout.splitlines()
    assert lines[0].startswith("front.yaml:1: warning [MS112] calls of generator end after 15 s")
    assert all(line.startswith(("front.yaml:", "  ", "1 finding")) for line in lines)
    assert max(map(len, lines)) <= 100
    text = " ".join(" ".join(lines).split())
    assert "which nobody set. instead: " in text


def test_what_was_found_before_is_kept_quiet_about(manifest: Path, tmp_path: Path) -> None:
    known = tmp_path / "known.json"
    assert run(manifest, "--write-baseline", known).exit_code == 0
    result = run(manifest, "--baseline", known)
    assert (result.exit_code, result.stdout) == (0, "no findings\n1 in the baseline\n")
    manifest.write_text("\n" + BAD + BAD.replace("virtual_hosts", "---\nvirtual_hosts").replace("generator", "retriever"))
    again = run(manifest, "--baseline", known)
    assert again.exit_code == 1
    assert "calls of retriever" in again.stdout
    assert "calls of generator" not in again.stdout
    assert run(manifest, "--baseline", known, "--write-baseline", known).exit_code == 0
    assert run(manifest, "--baseline", known).stdout == "no findings\n2 in the baseline\n"


def test_the_config_silences_with_a_reason(manifest: Path, tmp_path: Path) -> None:
    config = tmp_path / "slo.toml"
    config.write_text('[[check.ignore]]\ncode = "MS112"\nreason = "the front answers at once"\n')
    assert run(manifest, "--config", config).stdout == "no findings\n1 silenced with a reason\n"


def test_the_release_in_use_decides(tmp_path: Path) -> None:
    path = tmp_path / "dr.yaml"
    path.write_text(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\n"
        "spec: {host: a, trafficPolicy: {retryBudget: {percent: 5, budgetInterval: 10s}}}\n"
    )
    assert "[MS118]" in run(path).stdout
    assert run(path, "--mesh-version", "istio=1.31.0").stdout == "no findings\n"
    for wrong in ("consul=1.2", "1.31", "istio=new"):
        with pytest.raises(BadConfigError):
            run(path, "--mesh-version", wrong)


def test_a_rule_explains_itself(manifest: Path) -> None:
    assert run("--explain", "MS211").stdout.startswith("# MS211 unsafe-retry-on")
    with pytest.raises(BadConfigError, match="no rule has the code"):
        run("--explain", "MS000")
    with pytest.raises(BadConfigError, match="nothing to check"):
        run()


def test_sarif_carries_the_pages_and_fingerprints(manifest: Path) -> None:
    (log,) = json.loads(run(manifest, "--output", "sarif").stdout)["runs"]
    rules = {rule["id"]: rule for rule in log["tool"]["driver"]["rules"]}
    assert rules["MS112"]["help"]["markdown"].startswith("# MS112 default-timeout")
    assert rules["MS112"]["defaultConfiguration"]["level"] == "warning"
    assert log["results"][0]["partialFingerprints"]["meshslo/v1"]


def test_a_path_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no such file or folder"):
        run(tmp_path / "nowhere")
