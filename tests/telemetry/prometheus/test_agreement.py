"""From a real Prometheus with Istio's metrics to the report, judged by its own `histogram_quantile`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.telemetry.prometheus.api import Prometheus
from meshslo.telemetry.prometheus.profiles.istio import PROFILE
from meshslo.telemetry.pull.http import Server
from tests.support.prometheus import histogram, with_history

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("prometheus")]

T0 = 1_767_225_600
MINUTES = 120
NAME = "istio_request_duration_milliseconds"
EDGES_MS = PROFILE.histograms[0].edges
RANDOM = np.random.default_rng(11)


def labels(caller: str, callee: str, reporter: str = "source", flags: str = "-") -> dict[str, str]:
    return {
        "reporter": reporter,
        "source_canonical_service": caller,
        "destination_canonical_service": callee,
        "response_code": "200",
        "response_flags": flags,
        "instance": caller,
        "job": "istio",
    }


def counted(durations_ms: np.ndarray, **told: str) -> str:
    """The histogram of these durations (a row a minute) as a proxy counts them from T0 on, 100 calls each bucket before."""
    each = np.stack([np.histogram(row, [0.0, *EDGES_MS, np.inf])[0] for row in durations_ms])
    through = np.cumsum(np.vstack([np.full(each.shape[1], 100), each]), axis=0).cumsum(axis=1)
    times = [T0 + 60 * minute for minute in range(MINUTES + 1)]
    names = [*(f"{edge:g}" for edge in EDGES_MS), "+Inf"]
    columns = {le: list(zip(times, map(float, through[:, place]), strict=True)) for place, le in enumerate(names)}
    return histogram(NAME, labels(**told), columns)


HOPS = {
    "gateway>retriever": RANDOM.lognormal(np.log(80), 0.7, (MINUTES, 20)),
    "gateway>generator": RANDOM.lognormal(np.log(9000), 0.9, (MINUTES, 20)),
    "gateway>batch": RANDOM.lognormal(np.log(2_000_000), 1.0, (MINUTES, 20)),
}
"""Milliseconds; the last one has more than 1 % above Envoy's top edge of an hour."""


@dataclass(frozen=True)
class Pulled:
    """A Prometheus, and the rows of the report from its metrics by hop."""

    api: Prometheus
    rows: dict[str, dict[str, Any]]
    notes: list[str]

    def histogram_quantile(self, q: float, hop: str) -> float:
        """What the server says in seconds, of the same calls: the growth from T0 to the end, without extrapolation."""
        caller, callee = hop.split(">")
        match = (
            f'{NAME}_bucket{{reporter="source",source_canonical_service="{caller}",destination_canonical_service="{callee}"}}'
        )
        query = f"histogram_quantile({q}, sum by (le) ({match} - {match} offset {MINUTES}m))"
        (sample,) = self.api.at(query, T0 + 60 * MINUTES)
        assert sample.value is not None
        return float(sample.value[1]) / 1000.0


def meshslo(*arguments: str) -> Any:
    result = CliRunner().invoke(build(), [*arguments, "--output", "json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulled]:
    folder = tmp_path_factory.mktemp("istio")
    parts = [counted(ms, caller=hop.split(">")[0], callee=hop.split(">")[1]) for hop, ms in HOPS.items()]
    # The destination's sidecar counted the same calls, a little shorter.
    parts.append(counted(HOPS["gateway>retriever"] * 0.9, caller="gateway", callee="retriever", reporter="destination"))
    cut = np.full((MINUTES, 1), 15_000.0)
    parts.append(counted(cut, caller="gateway", callee="generator", flags="UT"))
    window = ("--since", "2026-01-01T00:00:00Z", "--until", "2026-01-01T02:00:00Z")
    with with_history(folder, f"# TYPE {NAME} histogram\n{''.join(parts)}") as url:
        told = meshslo("pull", "prometheus", url, "--store", str(folder / "store"), *window)
        report = meshslo("report", "--store", str(folder / "store"), "--by", "hop", "--quantile", "0.5", "--quantile", "0.99")
        yield Pulled(Prometheus(Server(url)), {row["hop"]: row for row in report["rows"]}, told["notes"])


def quantile(pulled: Pulled, hop: str, q: float) -> dict[str, Any]:
    return next(found for found in pulled.rows[hop]["quantiles"] if found["q"] == q)


@pytest.mark.parametrize("q", [0.5, 0.99])
def test_quantiles_are_those_of_promql(pulled: Pulled, q: float) -> None:
    answer = quantile(pulled, "gateway>retriever", q)
    assert answer["status"] == "ok"
    assert answer["value_s"] == pytest.approx(pulled.histogram_quantile(q, "gateway>retriever"), rel=1e-6)


@pytest.mark.parametrize("q", [0.5, 0.99])
def test_the_true_quantile_lies_within_the_stated_edges(pulled: Pulled, q: float) -> None:
    answer, true = quantile(pulled, "gateway>retriever", q), np.quantile(HOPS["gateway>retriever"], q) / 1000.0
    assert answer["low_s"] <= true <= answer["high_s"]


def test_where_promql_answers_with_the_top_edge_the_report_says_at_least(pulled: Pulled) -> None:
    answer = quantile(pulled, "gateway>batch", 0.99)
    assert pulled.histogram_quantile(0.99, "gateway>batch") == 3600.0
    assert (answer["status"], answer["value_s"], answer["high_s"]) == ("at_least", 3600.0, None)


def test_calls_of_both_sidecars_count_once(pulled: Pulled) -> None:
    assert pulled.rows["gateway>retriever"]["calls"] == MINUTES * 20


def test_streams_that_a_timer_cut_are_timeouts_though_they_are_logged_as_200(pulled: Pulled) -> None:
    outcomes = pulled.rows["gateway>generator"]["outcomes"]
    assert (outcomes["ok"], outcomes["timeout"]) == (MINUTES * 20, MINUTES)


def test_cut_streams_make_the_estimate_longer_than_the_completed_ones_say(pulled: Pulled) -> None:
    answer = quantile(pulled, "gateway>generator", 0.5)
    assert answer["value_s"] > answer["completed_value_s"]


def test_the_pull_says_what_these_metrics_cannot(pulled: Pulled) -> None:
    assert any("Istio's buckets are far apart above 10 s" in note for note in pulled.notes)
    assert not any("left out" in note for note in pulled.notes)
