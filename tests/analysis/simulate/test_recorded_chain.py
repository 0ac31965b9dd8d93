"""A chain behind real Envoys, recorded under three meshes: each run's calls predict what the next one measured."""

import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from meshslo.analysis.api import from_calls
from meshslo.analysis.simulate import Mesh, Simulation, read_mesh

FOLDER = Path(__file__).parent / "fixtures" / "demo"
RUNS: list[dict[str, Any]] = json.loads((FOLDER / "measured.json").read_text())
MEASURED = {"streams_cut_ratio": "cut_rate", "success_ratio": "success_rate", "amplification": "amplification"}


def mesh(run: dict[str, Any]) -> Mesh:
    return read_mesh({f"{run['name']}.yaml": (FOLDER / f"{run['name']}.yaml").read_text()})


@cache
def predicted(run: int, under: int) -> Simulation:
    since, until = (datetime.fromisoformat(RUNS[run][end]) for end in ("since", "until"))
    store = from_calls(pl.read_parquet(FOLDER / "calls.parquet"))
    return store.simulate(mesh(RUNS[under]), current=mesh(RUNS[run]), since=since, until=until)


@pytest.mark.parametrize("run", range(3))
def test_what_was_seen_is_what_was_measured(run: int) -> None:
    for name, key in MEASURED.items():
        assert predicted(run, run).chain[name].observed == pytest.approx(RUNS[run][key])


@pytest.mark.parametrize("run", range(3))
def test_the_same_mesh_gives_what_was_seen(run: int) -> None:
    for name in MEASURED:
        contrast = predicted(run, run).chain[name]
        assert contrast.after.value == pytest.approx(contrast.observed, abs=0.01), name


@pytest.mark.parametrize("run", range(2))
def test_the_next_run_is_as_predicted(run: int) -> None:
    for name, key in MEASURED.items():
        figure = predicted(run, run + 1).chain[name].after
        assert figure.low <= RUNS[run + 1][key] <= figure.high, name


def test_what_the_cap_of_the_first_run_hides_is_bounded_and_amplification_is_not() -> None:
    chain = predicted(0, 1).chain
    assert (chain["streams_cut_ratio"].after.value, chain["streams_cut_ratio"].after.low) == (None, 0.0)
    assert chain["amplification"].after.value == pytest.approx(RUNS[1]["amplification"], abs=0.02)
    assert chain["amplification"].after.high < chain["amplification"].before.low
