import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import Result
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.dashboards.commands.compare import what_text
from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.store import open_store
from tests.support.calls import make_calls
from tests.support.shown import comparison
from tests.support.traces import request


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of the gateway; the generator answers later to the second."""
    rng = np.random.default_rng(1)
    rows = [
        row | {"version": version} if row["callee"] == "gateway" else row
        for n in range(1000)
        for version in [("v1", "v2")[n % 2]]
        for row in request(n, float(rng.uniform(0.1, 0.3)), float(rng.lognormal(0, 0.3)) * (1.5 if version == "v2" else 1.0))
    ]
    path = tmp_path_factory.mktemp("compared") / "store"
    open_store(path, create=True).append(make_calls(rows).with_columns(zone=pl.lit("a")), source="test")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(build(), ["compare", *map(str, arguments)], catch_exceptions=False)


def test_something_slower_exits_1_and_names_the_hop(store: Path) -> None:
    result = run("--store", store, "--a", "version=v1", "--b", "version=v2")
    assert result.exit_code == 1
    assert "of the hops gateway>generator moved most" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_the_other_way_round_is_faster_and_exits_0(store: Path) -> None:
    result = run("--store", store, "--a", "version=v2", "--b", "version=v1", "--output", "json")
    assert result.exit_code == 0
    read = json.loads(result.stdout)
    assert read["hop_that_moved"] == "gateway>generator"
    assert {each["verdict"] for each in read["differences"]} <= {"faster", "inside_noise", "not_identifiable"}


def test_halves_of_one_version_are_inside_the_noise(store: Path) -> None:
    halves = (
        "--since",
        "2026-11-02T09:04:10Z",
        "--baseline-until",
        "2026-11-02T09:04:10Z",
        "--a",
        "version=v1",
        "--b",
        "version=v1",
    )
    result = run("--store", store, *halves)
    assert result.exit_code == 0
    assert "nothing moved beyond the noise" in result.stdout


def test_a_side_without_calls_is_named(store: Path) -> None:
    with pytest.raises(BadInputError, match="no calls of version=v9"):
        run("--store", store, "--a", "version=v1", "--b", "version=v9")


def test_totals_at_one_number_of_tokens_say_at_which() -> None:
    known = comparison().differences[0]
    target = {"hop": "gateway>generator", "tokens": "35 out, 410 in"}
    mixed = replace(known, quantity="at_one_mix", target=target, q=None)
    assert what_text(mixed, entry=False) == "gateway>generator total at 35 tokens out, 410 in"
    assert what_text(known, entry=False) == "gateway>generator total p95"
