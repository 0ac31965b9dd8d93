import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.telemetry.store import open_store
from tests.support.scenes import plain_calls
from tests.support.token_streams import streams


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "slo.toml"
    path.write_text('[objectives]\nfalse_timeout_ratio = 0.01\n[models."m"]\nmax_tokens = 1000\n')
    return path


def asked(tmp_path: Path, config: Path, calls: pl.DataFrame, *arguments: str) -> str:
    open_store(tmp_path / "store", create=True).append(calls, source="test")
    line = ["tokens", "--store", str(tmp_path / "store"), "--config", str(config), *arguments]
    result = CliRunner().invoke(build(), line, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_table_shows_a_token_a_total_and_a_timeout(tmp_path: Path, config: Path) -> None:
    table = asked(tmp_path, config, streams(1, cap_s=4.0))
    assert "p50 20 ms" in table
    assert "+ 20 ms/token out" in table
    assert "for 1,000" in table
    assert max(map(len, table.splitlines())) <= 100


def test_json_is_what_the_library_says(tmp_path: Path, config: Path) -> None:
    read = json.loads(asked(tmp_path, config, streams(1), "--output", "json"))
    assert read["schema"] == "meshslo.tokens/1"
    assert read["items"][0]["timeout"]["max_tokens"] == 1000


def test_survivors_are_called_so(tmp_path: Path, config: Path) -> None:
    blind = streams(3, cap_s=4.0).with_columns(pl.when(outcome="ok").then("chunks").alias("chunks"))
    assert "figures are of the quicker calls" in asked(tmp_path, config, blind)


def test_calls_without_tokens_say_so(tmp_path: Path, config: Path) -> None:
    assert "no calls of a model show" in asked(tmp_path, config, plain_calls([1.0] * 10, chunks=None))
