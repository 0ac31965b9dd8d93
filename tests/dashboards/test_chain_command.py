import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.store import open_store
from tests.support.calls import make_calls
from tests.support.scenes import chain_calls
from tests.support.traces import call, request, trace


@pytest.fixture
def store(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    rows = [row for n in range(400) for row in request(n, float(rng.uniform(0.1, 0.3)), float(rng.lognormal()))]
    rows += trace(
        1000,
        call(span=1, caller="worker", callee="queue"),
        call(span=2, parent=1, caller="queue", callee="disk", duration_s=9.0),
    )
    open_store(tmp_path / "store", create=True).append(make_calls(rows), source="test")
    return tmp_path / "store"


def asked(*arguments: object) -> str:
    result = CliRunner().invoke(build(), ["chain", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_table_names_hops_shares_and_what_clocks_say(store: Path) -> None:
    table = asked("--store", store)
    assert "ingress>gateway route /ask: 400 traces" in table
    assert "needs 600 more" in table  # for the shares of the slowest hundredth
    assert "1 calls outlasted the call that made them" in table
    assert max(map(len, table.splitlines())) <= 100


def test_json_is_what_the_library_says(store: Path) -> None:
    (way, _) = json.loads(asked("--store", store, "--quantile", 0.95, "--output", "json"))["ways"]
    assert (way["entry"], way["keys"], way["traces"]) == ("ingress>gateway", {"route": "/ask"}, 400)
    assert sum(hop["shares"][0]["estimate"] for hop in way["hops"]) == pytest.approx(1.0)


def test_a_timer_shows_as_at_least(tmp_path: Path) -> None:
    open_store(tmp_path / "store", create=True).append(chain_calls(800, cap_s=3.0), source="scene")
    assert ">= 3.0 s" in asked("--store", tmp_path / "store")


def test_keys_that_traces_have_not_are_named(store: Path) -> None:
    with pytest.raises(BadInputError, match="route, model, tenant, version, zone of the entry call, not by pod"):
        CliRunner().invoke(build(), ["chain", "--store", str(store), "--by", "pod"], catch_exceptions=False)
