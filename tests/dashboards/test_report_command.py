"""`meshslo report`: the table a person reads, the JSON a program reads, one sentence where it cannot."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import BadConfigError, StoreError
from meshslo.telemetry.store import open_store
from tests.support.calls import make_call, make_calls


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A hop whose calls a timer cuts at 3 s now and then, and one that has hardly any calls."""
    rows = [make_call(at_s=n, duration_s=min(0.004 * n, 3.0), outcome="ok" if n < 750 else "timeout") for n in range(1, 800)]
    rows += [make_call(at_s=n, callee="retriever", duration_s=0.0043) for n in range(85)]
    open_store(tmp_path / "store", create=True).append(make_calls(rows), source="test")
    return tmp_path / "store"


def asked(*arguments: object) -> str:
    result = CliRunner().invoke(build(), ["report", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_table_reads_in_100_columns(store: Path) -> None:
    table = asked("--store", store)
    assert max(map(len, table.splitlines())) <= 100
    assert "all: route /v1/chat, model m, tenant t, seen by server" in table
    for words in (">= 3.0 s", "needs 214 more calls", "timeout 6.3 %", "4.3 ms", "naive"):
        assert words in table


def test_json_has_what_was_asked_for(store: Path) -> None:
    document = json.loads(asked("--store", store, "--by", "hop", "--quantile", 0.5, "--output", "json"))
    assert document["schema"] == "meshslo.report/1"
    assert [row["hop"] for row in document["rows"]] == ["gateway>generator", "gateway>retriever"]
    assert [[quantile["q"] for quantile in row["quantiles"]] for row in document["rows"]] == [[0.5], [0.5]]


def test_a_phase_nobody_measured_is_said(store: Path) -> None:
    assert "not seen" in asked("--store", store, "--phase", "first_byte")


def test_a_window_of_times_and_ages(store: Path) -> None:
    window = ("--since", "2026-11-02T09:05:00Z", "--until", "2026-11-02T09:10:00", "--by", "hop", "--output", "json")
    assert json.loads(asked("--store", store, *window))["rows"][0]["calls"] == 300


def test_limits_come_from_the_config(store: Path, tmp_path: Path) -> None:
    rows = [make_call(tenant=f"t{n}", at_s=2000 + n) for n in range(3)]
    open_store(store).append(make_calls(rows), source="more")
    config = tmp_path / "meshslo.toml"
    config.write_text("[limits]\ntenants = 2\n")
    assert "__other__" in asked("--store", store, "--config", config, "--by", "tenant")


def test_what_is_missing_is_named(tmp_path: Path, store: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        asked("--store", tmp_path / "nowhere")
    with pytest.raises(BadConfigError, match=r"none\.toml"):
        asked("--store", store, "--config", tmp_path / "none.toml")


def test_brackets_in_names_stay(tmp_path: Path) -> None:
    rows = [make_call(route="/v1/[id]/chat", model=model) for model in ("m[0]", "m[1]")]
    open_store(tmp_path / "store", create=True).append(make_calls(rows), source="test")
    table = asked("--store", tmp_path / "store")
    assert "all: hop gateway>generator, route /v1/[id]/chat" in table
    assert "m[0]" in table


def test_help_ends_in_an_example() -> None:
    assert "Example: meshslo report" in asked("--help")


def test_what_all_rows_share_has_no_column(store: Path) -> None:
    head = asked("--store", store, "--by", "route").splitlines()[2]
    assert head.split() == ["calls", "endings", "p95", "p99"]
    assert head.startswith("calls")


def test_what_intervals_know_of_bursts_is_said(store: Path, tmp_path: Path) -> None:
    assert "intervals take calls for independent: fewer than 20 minutes" in asked("--store", store, "--by", "hop")
    rows = [make_call(at_s=6.0 * n, duration_s=4.0 if n // 10 % 8 == 0 else 1.0 + 0.001 * (n % 10)) for n in range(400)]
    open_store(tmp_path / "long", create=True).append(make_calls(rows), source="test")
    assert "calls count for up to 10 times fewer" in asked("--store", tmp_path / "long", "--quantile", 0.8)
    assert "independent: as asked for" in asked("--store", tmp_path / "long", "--no-bursts")
