"""Pulled histograms in the rollup: true edges, at least the top one, no call counted twice."""

import math
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshslo.analysis.api import CallStore, open_store
from meshslo.analysis.canary import parse_arms
from meshslo.analysis.metrics import roll_up_series
from meshslo.analysis.quantile import Quantile
from meshslo.analysis.report import report
from meshslo.analysis.rollup import Rollup, roll_up
from meshslo.analysis.survival import LifeTable
from meshslo.telemetry.errors import BadInputError, StoreError
from meshslo.telemetry.store import open_store as create_store
from meshslo.telemetry.store.metrics import MetricStore
from tests.support.calls import EPOCH, make_call, make_calls
from tests.support.series import make_histogram, make_row, make_series

EDGES_S = (0.5, 1.0, 2.5, 5.0, 10.0)
"""A histogram whose top edge is 10 s."""


def rolled(rows: Sequence[dict[str, Any]], **how: Any) -> Rollup:
    return roll_up_series(make_series(rows).lazy(), **how)


def table(rollup: Rollup, phase: str = "total") -> LifeTable:
    cells = rollup.cells.filter(phase=phase)
    longest = rollup.totals.filter(phase=phase)["max_s"].max()
    return LifeTable.from_cells(cells, longest_s=None if longest is None else float(longest))  # type: ignore[arg-type]


def outcomes(rollup: Rollup, phase: str = "total") -> dict[str, int]:
    counted = rollup.totals.filter(phase=phase).group_by("outcome").agg(count="count").select("outcome", "count")
    return {outcome: sum(counts) for outcome, counts in counted.iter_rows() if sum(counts)}


def histogram_quantile(q: float, edges_s: Sequence[float], counts: Sequence[float]) -> float:
    """PromQL's, by its documentation: linear within the bucket of rank q * N, the top edge above it."""
    through = np.cumsum(counts)
    place = int(np.searchsorted(through, q * through[-1]))
    if place >= len(edges_s):
        return edges_s[-1]
    low, before = (0.0, 0.0) if place == 0 else (edges_s[place - 1], through[place - 1])
    return float(low + (edges_s[place] - low) * (q * through[-1] - before) / counts[place])


def test_the_interval_ends_at_the_edges_of_the_metrics_bucket() -> None:
    answer = table(rolled(make_histogram(EDGES_S, [0, 0, 0, 600, 400]))).quantile(0.95)
    assert answer.status == "ok"
    assert (answer.low_s, answer.high_s) == (5.0, 10.0)
    assert answer.value_s == pytest.approx(5.0 + 5.0 * 350 / 400)


def test_a_quantile_above_the_top_edge_is_at_least_that_edge() -> None:
    answer = table(rolled(make_histogram(EDGES_S, [0, 0, 0, 0, 970, 30]))).quantile(0.99)
    assert (answer.status, answer.value_s, answer.high_s) == ("at_least", 10.0, None)


def test_a_quantile_below_the_top_edge_is_known_though_some_calls_are_above_it() -> None:
    answer = table(rolled(make_histogram(EDGES_S, [0, 0, 0, 0, 970, 30]))).quantile(0.95)
    assert (answer.status, answer.low_s, answer.high_s) == ("ok", 5.0, 10.0)


def test_too_few_calls_are_no_quantile_whatever_the_source() -> None:
    answer = table(rolled(make_histogram(EDGES_S, [0, 0, 0, 100]))).quantile(0.99)
    assert (answer.status, answer.needs_calls) == ("not_identifiable", 199)


@settings(deadline=None)
@given(st.lists(st.integers(0, 400), min_size=5, max_size=5), st.floats(0.05, 0.95))
def test_values_are_promqls_histogram_quantile(counts: list[int], q: float) -> None:
    if not any(counts):
        return
    answer: Quantile = table(rolled(make_histogram(EDGES_S, counts))).quantile(q)
    if answer.status == "ok":
        assert answer.value_s == pytest.approx(histogram_quantile(q, EDGES_S, counts), rel=1e-6)


@settings(deadline=None)
@given(st.lists(st.integers(0, 400), min_size=6, max_size=6), st.floats(0.05, 0.99))
def test_the_true_quantile_lies_in_the_interval_of_one_bucket(counts: list[int], q: float) -> None:
    seconds = np.repeat([0.4, 0.9, 2.0, 4.0, 9.0, 55.0], counts)
    if not len(seconds):
        return
    answer = table(rolled(make_histogram(EDGES_S, counts))).quantile(q)
    true = float(np.quantile(seconds, q, method="inverted_cdf"))
    if answer.status != "not_identifiable":
        assert answer.low_s is not None
        assert answer.low_s <= true
    if answer.high_s is not None:
        assert true <= answer.high_s


def test_a_call_that_a_timer_cut_is_known_to_be_longer_than_its_bucket_begins() -> None:
    cut = make_histogram(EDGES_S, [0, 0, 0, 0, 50], outcome="timeout")
    answer = table(rolled([*make_histogram(EDGES_S, [0, 0, 950]), *cut])).quantile(0.99)
    assert (answer.status, answer.value_s) == ("at_least", 5.0)


def test_errors_are_other_endings() -> None:
    rollup = rolled([*make_histogram(EDGES_S, [0, 0, 900]), *make_histogram(EDGES_S, [100], outcome="error")])
    assert outcomes(rollup) == {"ok": 900, "error": 100}
    assert table(rollup).calls == 900


def test_first_bytes_are_seen_whatever_the_outcome_later() -> None:
    rollup = rolled(make_histogram(EDGES_S, [500], phase="first_byte", outcome="timeout"))
    assert (table(rollup, "first_byte").events, table(rollup, "first_byte").censored) == (500, 0)


def test_the_sidecars_of_source_and_destination_are_never_added() -> None:
    both = [
        *make_histogram(EDGES_S, [0, 0, 300], reporter="destination"),
        *make_histogram(EDGES_S, [0, 0, 0, 299], reporter="source"),
    ]
    rollup = rolled(both)
    assert rollup.calls == 299, "the source's, which is nearer to the caller"
    assert table(rollup).quantile(0.5).low_s == 2.5


def test_where_only_the_destination_counted_it_is_taken() -> None:
    rows = [
        *make_histogram(EDGES_S, [300], reporter="source"),
        *make_histogram(EDGES_S, [200], callee="retriever", reporter="destination"),
    ]
    counted = rolled(rows).totals.group_by("hop").agg(count="count")
    assert {hop: sum(counts) for hop, counts in counted.iter_rows()} == {"gateway>generator": 300, "gateway>retriever": 200}


def test_two_servers_that_scrape_the_same_are_never_added() -> None:
    rows = [row for number in (1, 2) for row in make_histogram(EDGES_S, [300], source=f"http://replica-{number}")]
    assert rolled(rows).calls == 300


def test_the_first_of_a_profiles_metrics_is_taken() -> None:
    rows = [
        *make_histogram(EDGES_S, [100], instrument="route", preference=0),
        *make_histogram(EDGES_S, [0, 900], instrument="backend", preference=1),
    ]
    assert rolled(rows).calls == 100


def test_merging_minutes_is_counting_them_together() -> None:
    minutes = [make_histogram(EDGES_S, [1, 2, 3, 4, 5, 6], minute=minute) for minute in (0, 1, 61)]
    together = rolled([row for rows in minutes for row in rows])
    apart = rolled(minutes[0]).merge(rolled(minutes[1])).merge(rolled(minutes[2]))
    assert apart.cells.equals(together.cells)
    assert together.coarsen("1h").cells["start"].n_unique() == 2


def test_a_merge_with_calls_keeps_the_vantages_apart() -> None:
    calls = roll_up(make_calls([make_call(duration_s=3.0) for _ in range(400)]).lazy(), keys=["hop"])
    merged = calls.merge(rolled(make_histogram(EDGES_S, [0, 0, 0, 500, 300]), keys=["hop"])).coarsen(None)
    frame = report(merged, quantiles=[0.95])
    assert frame.select("vantage", "calls").rows() == [("server", 400), ("metric", 800)]
    assert frame["high_s"].to_list()[1] == 10.0
    assert frame["low_s"].to_list()[0] == pytest.approx(3.0, rel=0.011), "our own buckets as before"


def test_the_innermost_vantage_is_the_metric() -> None:
    calls = roll_up(make_calls([make_call()]).lazy(), keys=["hop"])
    assert calls.merge(rolled(make_histogram(EDGES_S, [500]), keys=["hop"])).pick_vantage().vantages() == ("server",)
    above_the_top = rolled(make_histogram(EDGES_S, [500, 0, 0, 0, 0, 20]), keys=["hop"])
    assert above_the_top.totals["censored"].any()
    assert calls.merge(above_the_top).pick_vantage().vantages() == ("server",)


def test_keys_that_metrics_lack_are_null() -> None:
    assert rolled(make_histogram(EDGES_S, [5]), keys=["hop", "pod"]).cells["pod"].to_list() == [None]


def test_sums_become_seconds_of_the_totals() -> None:
    rows = [*make_histogram(EDGES_S, [0, 10]), make_row(measure="sum_s", value=7.5)]
    totals = rolled(rows).totals
    assert (totals["sum_s"].sum(), totals["count"].sum(), totals["max_s"].max()) == (7.5, 10, 1.0)


class TestOutcomesThatOnlyACounterTells:
    """A histogram without outcomes beside a counter with them."""

    HISTOGRAM = make_histogram(EDGES_S, [0, 300, 700], outcome=None)

    @staticmethod
    def counter(**calls: float) -> list[dict[str, Any]]:
        return [
            make_row(measure="calls", phase=None, instrument="total", outcome=outcome, value=value)
            for outcome, value in calls.items()
        ]

    def test_failed_calls_that_ended_are_taken_out_in_proportion(self) -> None:
        rollup = rolled([*self.HISTOGRAM, *self.counter(ok=900, error=100)])
        assert outcomes(rollup) == {"ok": 900, "error": 100}
        assert sorted(rollup.cells.filter(event=True)["count"]) == [270, 630]

    def test_calls_that_the_histogram_leaves_out_are_counted(self) -> None:
        rollup = rolled([*self.HISTOGRAM, *self.counter(ok=1000, timeout=50, rejected=5)])
        assert outcomes(rollup) == {"ok": 1000, "timeout": 50, "rejected": 5}
        assert table(rollup).calls == 1000, "when they were cut is not known"

    def test_ok_calls_that_have_not_ended_are_no_events(self) -> None:
        rollup = rolled([*self.HISTOGRAM, *self.counter(ok=1010)])
        assert outcomes(rollup) == {"ok": 1010}
        assert table(rollup).events == 1000

    def test_without_a_counter_they_count_as_ok(self) -> None:
        assert outcomes(rolled(self.HISTOGRAM)) == {"ok": 1000}

    def test_a_counter_alone_tells_the_outcomes_and_no_duration(self) -> None:
        rollup = rolled(self.counter(ok=7, error=1))
        assert outcomes(rollup) == {"ok": 7, "error": 1}
        assert table(rollup).quantile(0.5).status == "not_identifiable"

    def test_a_histogram_with_outcomes_of_its_own_needs_no_counter(self) -> None:
        rows = [*make_histogram(EDGES_S, [100]), *self.counter(ok=1000, error=5)]
        assert outcomes(rolled(rows)) == {"ok": 100}

    def test_other_phases_keep_their_own_calls(self) -> None:
        rows = [*make_histogram(EDGES_S, [400], phase="first_token", outcome=None), *self.counter(ok=1000, error=5)]
        rollup = rolled(rows)
        assert outcomes(rollup, "first_token") == {"ok": 1000, "error": 5}
        assert table(rollup, "first_token").events == 400


@pytest.mark.parametrize("t_s", [0.5, 2.0, 7.5, 10.0, 60.0])
def test_the_share_that_runs_on_is_between_that_at_the_edges(t_s: float) -> None:
    answer = table(rolled(make_histogram(EDGES_S, [0, 0, 500, 0, 450, 50]))).exceedance(t_s)
    true = {0.5: (1.0, 1.0), 2.0: (0.5, 1.0), 7.5: (0.05, 0.5), 10.0: (0.05, 0.05), 60.0: (0.0, 0.05)}[t_s]
    assert answer.low <= true[0] + 1e-9
    assert true[1] - 1e-9 <= answer.high
    assert true[0] - 1e-9 <= answer.estimate <= true[1] + 1e-9
    assert not math.isnan(answer.estimate)


class TestAStoreOfMetricsAlone:
    """What the verbs say of a store that nothing but metrics was pulled into."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> CallStore:
        metrics = MetricStore(create_store(tmp_path / "store", create=True).layout)
        metrics.append(
            make_series(make_histogram(EDGES_S, [0, 0, 0, 0, 970, 30])), since=EPOCH, until=EPOCH + timedelta(minutes=1)
        )
        return open_store(tmp_path / "store")

    def test_a_report_names_the_vantage_and_the_top_edge(self, store: CallStore) -> None:
        (row,) = store.report(by=["hop"], quantiles=[0.99]).rows()
        assert (row["vantage"], row["hop"], row["calls"]) == ("metric", "gateway>generator", 1000)
        assert (row["quantiles"][0]["status"], row["quantiles"][0]["value_s"]) == ("at_least", 10.0)

    def test_the_window_is_that_of_the_metrics(self, store: CallStore) -> None:
        with pytest.raises(StoreError, match="no calls started in"):
            store.report(since=EPOCH + timedelta(days=1))

    def test_a_phase_that_no_metric_has_is_said_to_be_missing(self, store: CallStore) -> None:
        with pytest.raises(BadInputError, match="max_gap was not seen from vantage any; there are none"):
            store.report(phase="max_gap")

    def test_settings_are_not_recommended_from_metrics(self, store: CallStore) -> None:
        with pytest.raises(StoreError, match="holds metrics and no single calls"):
            store.recommend()

    def test_versions_are_not_compared_from_metrics(self, store: CallStore) -> None:
        with pytest.raises(StoreError, match="holds metrics and no single calls"):
            store.canary(parse_arms("v1", "v2"))
