import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import BadConfigError
from meshslo.telemetry.store import open_store
from tests.support.scenes import plain_calls


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "slo.toml"
    path.write_text("[objectives]\nfalse_timeout_ratio = 0.01\n")
    return path


def stored(path: Path, durations: np.ndarray) -> Path:
    open_store(path, create=True).append(plain_calls(durations), source="scene")
    return path


def run(*arguments: object):
    return CliRunner().invoke(build(), ["backtest", *map(str, arguments)], catch_exceptions=False)


def test_kept_promises_exit_0_and_show_the_rules(tmp_path: Path, config: Path) -> None:
    store = stored(tmp_path / "store", np.random.default_rng(3).exponential(1.0, 1000))
    result = run("--store", store, "--config", config)
    assert result.exit_code == 0
    assert "1 of 1 promises kept" in result.stdout
    assert "mean_plus_3_sigma" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_a_broken_promise_exits_1(tmp_path: Path, config: Path) -> None:
    store = stored(tmp_path / "store", np.concatenate([np.full(700, 1.0), np.full(300, 3.0)]))
    result = run("--store", store, "--config", config, "--output", "json")
    assert result.exit_code == 1
    assert [row["kept_promise"] for row in json.loads(result.stdout)["rows"]] == [False]


def test_a_split_that_is_none_is_wrong_usage(tmp_path: Path, config: Path) -> None:
    store = stored(tmp_path / "store", np.ones(10))
    with pytest.raises(BadConfigError, match="neither a share such as"):
        run("--store", store, "--config", config, "--split", "half")
