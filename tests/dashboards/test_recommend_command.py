import json
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from typer.testing import CliRunner, Result

from meshslo.analysis.recommend import parse_recommendations
from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import BadConfigError, MeshsloError
from meshslo.telemetry.store import open_store
from tests.support.scenes import MAX_TOKENS, chain_calls

CONFIG = f"""
[objectives]
false_timeout_ratio = 0.01
[models.small]
max_tokens = {MAX_TOKENS}
[models.large]
max_tokens = {MAX_TOKENS}
"""
ENVOY = """\
virtual_hosts:
  - name: generator
    domains: ["*"]
    routes:
      - match: {prefix: /}
        route: {cluster: generator, timeout: 3s}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recommend") / "store"
    open_store(path, create=True).append(chain_calls(cap_s=3.0), source="scene")
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "slo.toml"
    path.write_text(CONFIG)
    return path


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(build(), ["recommend", *map(str, arguments)])
    if isinstance(result.exception, MeshsloError):
        raise result.exception
    return result


def test_the_table_fits_a_pipe_and_numbers_its_reasons(store: Path, config: Path) -> None:
    result = run("timeouts", "--store", store, "--config", config)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert "total_timeout" in result.stdout
    assert "  1. [MS101]" in result.stdout
    assert "retry_attempts" not in result.stdout


def test_what_is_not_to_be_set_is_counted_unless_all_is_asked_for(store: Path, config: Path) -> None:
    arguments = ("--store", store, "--config", config)
    answers = parse_recommendations(run(*arguments, "--output", "json").stdout)
    short, whole = run(*arguments).stdout, run(*arguments, "--all").stdout
    assert 0 < len(answers.to_do.items) < len(answers.items)
    assert [text.count(". [MS") for text in (short, whole)] == [len(answers.to_do.items), len(answers.items)]
    assert f"{len(answers.items)} answers: " in short
    assert "--all shows them all" in short


def test_json_reads_back(store: Path, config: Path) -> None:
    result = run("--store", store, "--config", config, "--output", "json")
    advice = parse_recommendations(result.stdout)
    assert {item.kind for item in advice.items} >= {"timeout", "retry"}
    assert json.loads(result.stdout)["schema"] == "meshslo.recommendations/1"


def test_policies_are_written_on_top_of_those_in_use(store: Path, config: Path, tmp_path: Path) -> None:
    current = tmp_path / "envoy" / "front"
    current.mkdir(parents=True)
    (current / "generator.yaml").write_text(ENVOY)
    out = tmp_path / "out"
    arguments = ["--store", store, "--config", config, "--current", current.parent, "--emit", "envoy", "--out", out]
    result = run(*arguments, "--output", "json")
    assert result.exit_code == 0
    assert "front/generator.yaml" in result.stderr
    written: dict[str, Any] = yaml.safe_load((out / "front" / "generator.yaml").read_text())
    assert [r.get("name") for r in written["virtual_hosts"][0]["routes"]][-1] is None
    found = [i for i in parse_recommendations(result.stdout).items if i.setting == "total_timeout" and i.current]
    assert {i.current.source for i in found if i.current and i.target.callee == "generator"} == {"front/generator.yaml:6"}


def test_what_a_mesh_cannot_express_is_marked(config: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    open_store(store, create=True).append(chain_calls(), source="scene")
    result = run("--store", store, "--config", config, "--emit", "istio", "--out", tmp_path / "out", "--output", "json")
    statuses = {(i.setting, i.target.hop): i.status for i in parse_recommendations(result.stdout).items}
    assert statuses["per_try_timeout", "ingress>gateway"] == "not_expressible"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["wishes"], "no recommendations of kind wishes; there are "),
        (["--config", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["--current", "nowhere"], "nowhere: no such file or folder"),
        (["--since", "yesterday"], "'yesterday' is no time"),
        (["--since", "2031-01-01"], "no calls started in"),
        (["--emit", "consul", "--out", "x"], 'no emitter for "consul"'),
        (["--mesh-version", "1.30"], "is no release of what is emitted (nothing: add --emit MESH)"),
        (["--emit", "istio", "--out", "x", "--mesh-version", "newest"], '"newest" is no version'),
        (["--emit", "istio", "--out", "x", "--mesh-version", "linkerd=2.19"], "is no release of what is emitted (istio)"),
        (["--emit", "envoy", "--out", "x", "--emit-as", "kustomize"], "no Kubernetes resource"),
    ],
)
def test_a_mistake_is_one_sentence(store: Path, config: Path, arguments: list[str], sentence: str) -> None:
    base = [] if "--config" in arguments else ["--config", config]
    with pytest.raises(MeshsloError) as raised:
        run("--store", store, *base, *arguments)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_emit_without_a_folder_is_wrong_usage(store: Path) -> None:
    with pytest.raises(BadConfigError, match="--emit MESH and --out DIR go together"):
        run("--store", store, "--emit", "istio")


def test_a_diff_is_printed_and_can_be_applied(store: Path, config: Path, tmp_path: Path) -> None:
    (tmp_path / "front.yaml").write_text(ENVOY)
    arguments = ["--store", store, "--config", config, "--current", tmp_path / "front.yaml"]
    result = run(*arguments, "--emit", "envoy", "--emit-as", "diff")
    assert result.exit_code == 0
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=result.stdout, text=True, check=True)
    assert "timeout: 12s" in (tmp_path / "front.yaml").read_text()


def test_the_release_decides_what_is_written(store: Path, config: Path, tmp_path: Path) -> None:
    arguments = ["--store", store, "--config", config, "--emit", "istio", "--out"]
    for release in ("1.26.2", "istio=1.31.0"):
        assert run(*arguments, tmp_path / release, "--mesh-version", release).exit_code == 0
    assert "budgetInterval: 10s" in (tmp_path / "istio=1.31.0" / "generator.yaml").read_text()
    assert "retryBudget:" not in (tmp_path / "1.26.2" / "generator.yaml").read_text()


def test_manifests_of_one_name_are_told_apart(store: Path, config: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.yaml").write_text(ENVOY)
    with pytest.raises(MeshsloError, match=r"two manifests are called x\.yaml"):
        run("--store", store, "--config", config, "--current", tmp_path / "a", "--current", tmp_path / "b")


def test_help_ends_in_an_example() -> None:
    result = CliRunner().invoke(build(), ["recommend", "--help"])
    assert "Example: meshslo recommend timeouts" in result.stdout


def test_earlier_advice_is_checked_against_calls(store: Path, config: Path, tmp_path: Path) -> None:
    advice = tmp_path / "recommendations.json"
    advice.write_text(run("--store", store, "--config", config, "--output", "json").stdout)
    kept = run("--store", store, "--config", config, "--check", advice)
    assert kept.exit_code == 0
    assert "timeouts are supported by these calls" in kept.stdout
    slower = tmp_path / "slower"
    open_store(slower, create=True).append(chain_calls(seed=5).with_columns(pl.col("duration_s") * 20), source="scene")
    assert run("--store", slower, "--config", config, "--check", advice, "--output", "json").exit_code == 1
