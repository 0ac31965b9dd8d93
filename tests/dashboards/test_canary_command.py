import json
import re
from pathlib import Path

import polars as pl
import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import BadConfigError, BadInputError
from meshslo.telemetry.store import open_store
from tests.support.canaries import versions


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "store"
    open_store(path, create=True).append(versions(1500), source="scene")
    return path


def run(store: Path, *arguments: object) -> Result:
    command = ["canary", "--store", str(store), "--baseline", "v1", "--candidate", "v2", *map(str, arguments)]
    return CliRunner().invoke(build(), command, catch_exceptions=False)


def test_what_is_not_decided_is_held_and_says_for_how_long(store: Path) -> None:
    result = run(store)
    assert result.exit_code == 0
    assert re.search(r"HOLD, stay at (19|20) %", result.stdout)
    assert "more of the candidate's calls" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_a_bad_one_exits_1_and_its_routing_gives_it_nothing(tmp_path: Path) -> None:
    store = tmp_path / "store"
    open_store(store, create=True).append(versions(4000, failed=(0.01, 0.1)), source="scene")
    result = run(store, "--emit", "istio", "--out", tmp_path / "out", "--output", "json")
    assert result.exit_code == 1
    read = json.loads(result.stdout)
    assert (read["verdict"], read["next_weight"]) == ("roll_back", 0)
    service, _ = yaml.safe_load_all((tmp_path / "out" / "generator-canary.yaml").read_text())
    (entry,) = service["spec"]["http"]
    assert [route["weight"] for route in entry["route"]] == [100, 0]


def test_a_row_a_measure_for_other_programs(store: Path, tmp_path: Path) -> None:
    assert run(store, "--output", "parquet", "--out", tmp_path / "canary.parquet").exit_code == 0
    rows = pl.read_parquet(tmp_path / "canary.parquet")
    assert {"name", "standing", "difference", "margin", "baseline_value_s", "candidate_high_s"} <= set(rows.columns)
    assert rows.height == len(json.loads(run(store, "--output", "json").stdout)["measures"])


def test_one_hop_alone_may_be_asked_for(store: Path) -> None:
    assert run(store, "--hop", "gateway>generator").exit_code == 0
    with pytest.raises(BadInputError, match="no calls with version v1"):
        run(store, "--hop", "gateway>retriever")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--emit", "istio"], "--emit MESH and --out DIR go together"),
        (["--quantile", "95"], "--quantile 95 must lie between 0 and 1"),
        (["--slow-margin", "0"], "margins above 0"),
    ],
)
def test_wrong_usage_is_one_sentence(store: Path, arguments: list[str], sentence: str) -> None:
    with pytest.raises(BadConfigError, match=sentence):
        run(store, *arguments)
