"""The notebooks: stored without outputs, run from a fresh kernel, and their pages need no network."""

import importlib.util
import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from meshslo.analysis import from_calls
from meshslo.telemetry.schema import conform
from tests.support.browser import chromium, complaints, found, wait
from tests.support.scenes import chain_calls
from tests.support.shared import ROOT

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
TITLES = ["01_first_look", "02_streaming_timeouts", "03_retry_budgets", "04_compare_models_and_tenants"]


def loaded(name: str) -> ModuleType:
    """A module of the folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_four() -> None:
    assert [path.stem for path in NOTEBOOKS] == TITLES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    code = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_polars_and_pandas(path: Path) -> None:
    text = path.read_text()
    assert "import polars as pl" in text
    assert "to_pandas()" in text


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all pages."""
    out = tmp_path_factory.mktemp("pages")
    ran = subprocess.run([sys.executable, str(FOLDER / "render.py"), str(out)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return out


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, rendered: Path) -> None:
    page = (rendered / f"{path.stem}.html").read_text()
    assert page.count('class="plotly-graph-div"') >= 2
    assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//', page)


@pytest.mark.system
@pytest.mark.slow
def test_a_page_opens_in_a_browser(rendered: Path, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile", tmp_path) as browser:
        browser.get((rendered / f"{NOTEBOOKS[0].stem}.html").as_uri())
        wait(lambda: found(browser, ".js-plotly-plot .main-svg"), "a picture")
        assert complaints(browser) == []


def test_the_recording_holds_calls_of_every_run() -> None:
    recorded = loaded("recorded")
    assert list(recorded.runs()) == ["before", "explore", "tightened"]
    for window in recorded.runs().values():
        assert recorded.store().report(by=["hop"], **window).frame["calls"].min() > 1000
    found = recorded.deployed().find("total_timeout", "generator", "/v1/chat/completions", "small")
    assert found.value == 3.0


def test_thinning_keeps_every_call_and_who_made_it() -> None:
    calls = conform(chain_calls(60, cap_s=6.0))
    rows = calls.with_columns(parent_span_id=pl.col("span_id").shift(3))
    thin = loaded("record").thinned(rows)
    assert thin.height == rows.height
    made = pl.col("span_id").is_in(rows["parent_span_id"].implode())
    again = pl.col("span_id").is_in(thin["parent_span_id"].implode())
    assert thin.filter(again).height == rows.filter(made).height
    sizes = [frame.group_by("trace_id").len()["len"].sort() for frame in (rows, thin)]
    assert sizes[0].equals(sizes[1])


def test_thinning_moves_times_by_no_more_than_it_says() -> None:
    rows = conform(chain_calls(60, cap_s=6.0)).sort("start", "span_id")
    thin = loaded("record").thinned(rows)
    moved = (thin["duration_s"] - rows["duration_s"]).abs().max()
    assert isinstance(moved, float)
    assert moved <= 0.5001e-4
    shifted = (thin["start"] - rows["start"]).abs().max()
    assert isinstance(shifted, timedelta)
    assert shifted <= timedelta(microseconds=50)


def test_what_was_written_reads_back(tmp_path: Path) -> None:
    record = loaded("record")
    thin = record.thinned(conform(chain_calls(60)))
    record.write(thin, tmp_path / "calls.parquet")
    back = pl.read_parquet(tmp_path / "calls.parquet")
    assert back.equals(thin)
    assert from_calls(back).report(by=["hop"]).frame.equals(from_calls(thin).report(by=["hop"]).frame)
