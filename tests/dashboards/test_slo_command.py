"""`meshslo slo`: the table, JSON, OpenSLO, and its exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import BadConfigError, BadInputError
from meshslo.telemetry.store import open_store
from tests.support.calls import make_call, make_calls

CONFIG = """
[[slo]]
name = "fast"
hop = "gateway>generator"
sli = "total"
threshold_s = 2.0
target = {target}
[[slo]]
name = "works"
hop = "gateway>generator"
sli = "success"
target = 0.8
[[slo]]
name = "good"
hop = "gateway>generator"
sli = "goodput"
all_of = ["fast", "works"]
target = 0.8
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred calls: 90 good, 6 slow, 4 cut at 1 s."""
    rows = [make_call(at_s=n) for n in range(90)]
    rows += [make_call(at_s=90 + n, duration_s=3.0) for n in range(6)]
    rows += [make_call(at_s=96 + n, duration_s=1.0, outcome="timeout") for n in range(4)]
    path = tmp_path_factory.mktemp("slo") / "store"
    open_store(path, create=True).append(make_calls(rows), source="test")
    return path


def config(tmp_path: Path, target: float = 0.8) -> Path:
    path = tmp_path / "meshslo.toml"
    path.write_text(CONFIG.format(target=target))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(build(), ["slo", *map(str, arguments)], catch_exceptions=False)


def test_met_objectives_exit_0_and_missed_ones_1(store: Path, tmp_path: Path) -> None:
    assert run("--store", store, "--config", config(tmp_path, 0.8)).exit_code == 0
    assert run("--store", store, "--config", config(tmp_path, 0.97)).exit_code == 1


def test_what_unknown_calls_would_decide_is_no_miss_unless_asked(store: Path, tmp_path: Path) -> None:
    undecided = config(tmp_path, 0.92)
    result = run("--store", store, "--config", undecided)
    assert result.exit_code == 0
    assert "fast: 4 calls were cut before the threshold and would decide it" in result.stdout
    assert run("--store", store, "--config", undecided, "--fail-on", "undecided").exit_code == 1


def test_the_table_reads_in_100_columns(store: Path, tmp_path: Path) -> None:
    table = run("--store", store, "--config", config(tmp_path, 0.97)).stdout
    assert max(map(len, table.splitlines())) <= 100
    assert "missed" in table
    assert "4 unknown" in table
    assert "no calls before 2026-11-02 09:00Z: budgets are those of the part of the window since then" in table
    rows = [line.split()[0] for line in table.splitlines() if " missed " in line or " met " in line]
    assert rows == ["fast", "good", "works"]


def test_json_has_every_objective(store: Path, tmp_path: Path) -> None:
    document = json.loads(run("--store", store, "--config", config(tmp_path), "--output", "json").stdout)
    assert document["schema"] == "meshslo.slo/1"
    counts = {item["name"]: (item["kept"], item["broken"], item["unknown"]) for item in document["items"]}
    assert counts == {"fast": (90, 6, 4), "works": (96, 4, 0), "good": (90, 10, 0)}


def test_each_tenant_has_its_row(store: Path, tmp_path: Path) -> None:
    result = run("--store", store, "--config", config(tmp_path), "--each", "tenant,model")
    assert "fast m t" in result.stdout
    document = json.loads(run("--store", store, "--config", config(tmp_path), "--each", "tenant", "--output", "json").stdout)
    assert [item["tenant"] for item in document["items"]] == ["t", "t", "t"]


def test_the_table_shows_the_worst_and_says_how_many_more_there_are(tmp_path: Path) -> None:
    rows = [make_call(tenant=f"t{n:02}", duration_s=3.0 if n == 31 else 1.0) for n in range(33)]
    open_store(tmp_path / "store", create=True).append(make_calls(rows), source="test")
    (tmp_path / "meshslo.toml").write_text(CONFIG.split("[[slo]]")[1].join(["[[slo]]", ""]).format(target=0.9))
    result = run("--store", tmp_path / "store", "--config", tmp_path / "meshslo.toml", "--each", "tenant")
    assert result.exit_code == 1
    first = next(line for line in result.stdout.splitlines() if line.startswith("fast t"))
    assert first.startswith("fast t31")
    assert "3 more have more budget left; --output json has them all" in result.stdout


def test_old_data_are_said_to_be_old(store: Path, tmp_path: Path) -> None:
    assert "this is how it stood then" in run("--store", store, "--config", config(tmp_path)).stderr


def test_openslo_goes_out_and_comes_in(store: Path, tmp_path: Path) -> None:
    settings = config(tmp_path)
    written = tmp_path / "slo.yaml"
    written.write_text(run("--config", settings, "--output", "openslo").stdout)
    (tmp_path / "empty.toml").write_text("")
    read = ("--store", store, "--config", tmp_path / "empty.toml", "--openslo", written, "--output", "json")
    assert json.loads(run(*read).stdout) == json.loads(run("--store", store, "--config", settings, "--output", "json").stdout)
    with pytest.raises(BadConfigError, match='two \\[\\[slo\\]\\] are called "fast"'):
        run("--store", store, "--config", settings, "--openslo", written)


def test_no_objectives_and_bad_files_are_one_sentence(store: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(BadConfigError, match=r"no objectives: add \[\[slo\]\]"):
        run("--store", store, "--config", tmp_path / "empty.toml")
    with pytest.raises(BadInputError, match=r"nowhere\.yaml"):
        run("--store", store, "--config", tmp_path / "empty.toml", "--openslo", tmp_path / "nowhere.yaml")


def test_help_ends_in_an_example() -> None:
    assert "Example: meshslo slo" in run("--help").stdout


def test_a_hidden_deadline_is_named(tmp_path: Path) -> None:
    rows = [make_call(at_s=n, duration_s=1.0 + 0.05 * (n % 100) if n % 10 else 15.004) for n in range(600)]
    open_store(tmp_path / "store", create=True).append(make_calls(rows), source="test")
    shown = run("--store", tmp_path / "store", "--config", config(tmp_path)).stdout
    assert "60 ok of its calls ended at 15 s" in " ".join(shown.split())
