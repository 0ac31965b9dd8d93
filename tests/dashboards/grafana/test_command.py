import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import MeshsloError
from tests.dashboards.grafana.advice import ADVICE


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(build(), ["grafana", *map(str, arguments)])
    if isinstance(result.exception, MeshsloError):
        raise result.exception
    return result


def test_files_are_written_and_what_is_left_out_is_listed(tmp_path: Path) -> None:
    result = run("--out", tmp_path, "--profile", "meshslo", "--profile", "vllm")
    assert result.exit_code == 0
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")}
    assert {"dashboards/meshslo/chain.json", "dashboards/vllm/streams.json", "provisioning/dashboards/meshslo.yaml"} <= names
    assert "vllm: left out, since vllm has no histogram of max gap:" in result.stdout
    assert "streams: p99 of the longest silence" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_a_second_run_writes_nothing(tmp_path: Path) -> None:
    first = json.loads(run("--out", tmp_path, "--profile", "meshslo", "--output", "json").stdout)
    again = json.loads(run("--out", tmp_path, "--profile", "meshslo", "--output", "json").stdout)
    assert first["schema"] == "meshslo.grafana/1"
    assert first["written"] == first["files"] == again["files"]
    assert again["written"] == []
    assert first["left_out"] == again["left_out"]


def test_recommended_values_become_lines(tmp_path: Path) -> None:
    advice = tmp_path / "recommendations.json"
    advice.write_text(ADVICE)
    run("--out", tmp_path / "out", "--profile", "meshslo", "--recommendations", advice)
    assert "vector(45)" in (tmp_path / "out" / "dashboards" / "meshslo" / "retries.json").read_text()


def test_profiles_of_a_users_own_come_from_the_config(tmp_path: Path) -> None:
    config = tmp_path / "meshslo.toml"
    histogram = '{metric = "rpc_time_us", unit = "us", phase = "total"}'
    config.write_text(f'[profiles.billing]\nlabels.callee = ["target"]\nhistograms = [{histogram}]\n')
    run("--out", tmp_path / "out", "--profile", "billing", "--config", config)
    assert (tmp_path / "out" / "dashboards" / "billing" / "chain.json").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--profile", "consul"], "no profile called consul"),
        (["--recommendations", "nowhere.json"], "nowhere.json cannot be read"),
        (["--config", "nowhere.toml"], "nowhere.toml cannot be read"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    with pytest.raises(MeshsloError) as raised:
        run("--out", tmp_path / "out", *arguments)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(MeshsloError, match=r"cannot be written: .*; pass another --out"):
        run("--out", tmp_path / "out", "--profile", "meshslo")


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("grafana_foundation_sdk", "meshslo.dashboards.grafana"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "grafana_foundation_sdk", None)
    with pytest.raises(MeshsloError, match=r"pip install 'meshslo\[dashboards\]'"):
        run("--out", tmp_path)


def test_help_ends_in_an_example() -> None:
    assert "Example: meshslo grafana --out grafana/" in CliRunner().invoke(build(), ["grafana", "--help"]).stdout
