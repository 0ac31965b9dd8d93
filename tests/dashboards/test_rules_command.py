"""`meshslo rules`: the file it writes, what it says it left out, and what it refuses."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import BadConfigError

CONFIG = """
[[slo]]
name = "works"
hop = "gateway>generator"
sli = "success"
target = 0.99
"""


def run(folder: Path, *arguments: object, text: str = CONFIG) -> Result:
    (folder / "meshslo.toml").write_text(text)
    told = ["rules", "--out", folder / "rules", "--config", folder / "meshslo.toml", *arguments]
    return CliRunner().invoke(build(), list(map(str, told)), catch_exceptions=False)


def test_the_file_is_written_and_named_and_what_is_missing_goes_to_stderr(tmp_path: Path) -> None:
    result = run(tmp_path)
    path = tmp_path / "rules" / "meshslo-meshslo.yaml"
    assert (result.exit_code, result.stdout) == (0, f"{path}\n")
    assert "left out: no alert on exhausted retry budgets" in result.stderr
    groups = yaml.safe_load(path.read_text())["groups"]
    assert [group["name"] for group in groups] == ["meshslo-slo-works", "meshslo-streams"]


def test_the_vantage_that_is_asked_can_be_chosen(tmp_path: Path) -> None:
    run(tmp_path, "--vantage", "server")
    text = (tmp_path / "rules" / "meshslo-meshslo.yaml").read_text()
    assert 'vantage="server"' in text
    assert 'vantage="client"' not in text


def test_kubernetes_gets_a_resource(tmp_path: Path) -> None:
    run(tmp_path, "--form", "kubernetes", "--producer", "istio")
    assert yaml.safe_load((tmp_path / "rules" / "meshslo-istio.yaml").read_text())["kind"] == "PrometheusRule"


def test_labels_can_be_those_of_the_scrape(tmp_path: Path) -> None:
    run(tmp_path, "--producer", "vllm", "--label", "callee=job")
    assert 'job="generator"' in (tmp_path / "rules" / "meshslo-vllm.yaml").read_text()
    with pytest.raises(BadConfigError, match="--label callee is no KEY=LABEL, such as caller=job"):
        run(tmp_path, "--producer", "vllm", "--label", "callee")


def test_nothing_is_written_where_something_is_refused(tmp_path: Path) -> None:
    between = CONFIG.replace('"success"', '"total"\nthreshold_s = 3')
    with pytest.raises(BadConfigError, match=r"set it to 2\.5 or 5, or ask `meshslo slo`"):
        run(tmp_path, text=between)
    with pytest.raises(BadConfigError, match="vantage 'nobody' is none of client"):
        run(tmp_path, "--vantage", "nobody")
    with pytest.raises(BadConfigError, match="no objectives"):
        run(tmp_path, text="")
    assert not (tmp_path / "rules").exists()


def test_help_ends_in_an_example(tmp_path: Path) -> None:
    assert "Example: meshslo rules" in run(tmp_path, "--help").stdout
