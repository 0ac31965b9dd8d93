import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.store import open_store
from tests.support.policies import advice_of, timeout
from tests.support.proposals import envoy_text, retries
from tests.support.scenes import chain_calls


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("simulated") / "store"
    open_store(path, create=True).append(chain_calls(300, cap_s=3.0), source="scene")
    return path


@pytest.fixture
def proposed(tmp_path: Path) -> Path:
    path = tmp_path / "proposed.yaml"
    path.write_text(envoy_text("gateway", "retriever", "generator", timeout="2s", retry_policy=retries(1)))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(build(), ["simulate", *map(str, arguments)], catch_exceptions=False)


def test_the_table_shows_the_chain_and_each_hop(store: Path, proposed: Path) -> None:
    result = run("--store", store, "--proposed", proposed)
    assert result.exit_code == 0
    for words in ("the whole chain", "streams cut by timers", "as seen", "gateway>generator", "another window with as many"):
        assert words in " ".join(result.stdout.split())
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_with_manifests_in_use_the_first_side_is_simulated_too(store: Path, proposed: Path, tmp_path: Path) -> None:
    current = tmp_path / "current.yaml"
    current.write_text(envoy_text("gateway", "retriever", "generator", timeout="3s"))
    answer = json.loads(run("--store", store, "--proposed", proposed, "--current", current, "--output", "json").stdout)
    assert (answer["schema"], answer["before_is"], answer["requests"]) == ("meshslo.simulation/1", "current", 300)
    cut = answer["chain"]["streams_cut_ratio"]
    assert cut["before"]["value"] == pytest.approx(cut["observed"], abs=0.02)
    assert cut["after"]["low"] > cut["before"]["high"]
    assert set(cut) == {"observed", "before", "after", "change"}
    assert {row["hop"] for row in answer["rows"]} == {"ingress>gateway", "gateway>retriever", "gateway>generator"}


def test_recommendations_can_be_tried(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "recommendations.json"
    path.write_text(advice_of(timeout(0.5)).to_json())
    answer = json.loads(run("--store", store, "--proposed", path, "--by", "model", "--output", "json").stdout)
    generator = [row["figures"]["cut_by_total_timeout"] for row in answer["rows"] if row["hop"] == "gateway>generator"]
    assert all(figure["after"]["low"] > 0.5 for figure in generator)


def test_an_answer_is_written_as_rows(store: Path, proposed: Path, tmp_path: Path) -> None:
    path = tmp_path / "answer.csv"
    assert run("--store", store, "--proposed", proposed, "--output", "csv", "--out", path).exit_code == 0
    head, *rows = path.read_text().splitlines()
    assert head.startswith("hop,quantity,observed,before,before_low,before_high,after")
    assert len(rows) == 6 + 3 * 9


def test_a_folder_that_is_not_there_is_named(store: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no such file or folder"):
        run("--store", store, "--proposed", tmp_path / "nothing")
