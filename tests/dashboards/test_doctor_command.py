"""`meshslo doctor` on a store: what it prints, and when it exits 1."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import StoreError
from meshslo.telemetry.store import open_store
from meshslo.telemetry.store.metrics import MetricStore
from tests.support import otel_traces
from tests.support.calls import EPOCH, make_call, make_calls
from tests.support.chdb import engine, engine_url
from tests.support.otlp import make_request, make_span
from tests.support.series import make_histogram, make_series


@pytest.fixture
def store(tmp_path: Path) -> Path:
    rows = [
        make_call(at_s=number, first_token_s=0.2, max_gap_s=0.1, tenant=None if number < 30 else "t") for number in range(100)
    ]
    open_store(tmp_path / "store", create=True).append(make_calls(rows), source="test")
    return tmp_path / "store"


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(build(), ["doctor", *words], catch_exceptions=False)
    return result.exit_code, result.stdout


def test_the_table_names_hops_and_findings(store: Path) -> None:
    code, printed = run("--store", str(store))
    assert code == 1
    assert "gateway>generator" in printed
    assert "warning MS903 gateway>generator: 30 % of the calls have no tenant" in printed


def test_json_for_programs(store: Path) -> None:
    code, printed = run("--store", str(store), "--output", "json", "--fail-on", "never")
    document = json.loads(printed)
    assert code == 0
    assert document["schema"] == "meshslo.doctor/1"
    assert document["hops"][0]["tenant"] == 70
    assert [finding["code"] for finding in document["findings"]] == ["MS903"]


def test_a_store_of_metrics_alone_lists_their_profiles(tmp_path: Path) -> None:
    store = open_store(tmp_path / "metrics", create=True)
    rows = [
        *(row for minute in range(3) for row in make_histogram([1.0, 5.0], [80, 20], minute=minute)),
        *make_histogram([1.0], [9], profile="vllm", phase="first_token", caller=None, hop="unknown>generator"),
    ]
    series = make_series(rows)
    MetricStore(store.layout).append(series, since=EPOCH, until=EPOCH + timedelta(hours=1))
    code, printed = run("--store", str(store.path))
    assert code == 0
    assert "metrics of istio from http://prometheus: 1 hop, total; 2026-11-02 09:00 to 2026-11-02 09:03 UTC" in printed
    assert "metrics of vllm from http://prometheus: 1 hop, first_token" in printed
    assert "note MS917 store: there are metrics and no single calls" in printed
    document = json.loads(run("--store", str(store.path), "--output", "json")[1])
    assert [(one["profile"], one["hops"]) for one in document["metrics"]] == [("istio", 1), ("vllm", 1)]


def test_a_store_with_nothing_in_it(tmp_path: Path) -> None:
    code, printed = run("--store", str(open_store(tmp_path / "empty", create=True).path))
    assert (code, "error MS901" in printed) == (1, True)


@pytest.mark.slow
@pytest.mark.xdist_group("chdb")
def test_spans_in_clickhouse_are_examined_in_place() -> None:
    otel_traces.create(engine(), "examined")
    otel_traces.insert(engine(), "examined", [make_request([make_span(at_s=number) for number in range(30)])])
    code, printed = run("--store", engine_url("examined"))
    assert code == 0
    assert "ingress>generator" in printed
    assert "MS903" in printed


def test_only_the_window_asked_for(store: Path) -> None:
    code, printed = run("--store", str(store), "--since", "2026-11-02T09:00:30Z", "--output", "json")
    assert code == 0
    assert json.loads(printed)["findings"] == []


def test_findings_below_the_severity_asked_for_do_not_fail(store: Path) -> None:
    assert run("--store", str(store), "--fail-on", "error")[0] == 0


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        run("--store", str(tmp_path / "nothing"))
