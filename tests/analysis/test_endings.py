"""Competing endings against lifelines and plain shares; the band around callers who leave."""

import warnings

import numpy as np
import pytest
from lifelines import AalenJohansenFitter

from meshslo.analysis.endings import cumulative_incidence, leaving_band
from meshslo.analysis.histogram import index_of, relative_error, upper_edge
from meshslo.analysis.rollup import roll_up
from meshslo.analysis.survival import LifeTable
from tests.support.calls import make_call, make_calls


def cells_of(seconds: np.ndarray, outcomes: np.ndarray):
    rows = [make_call(duration_s=float(s), outcome=str(outcome)) for s, outcome in zip(seconds, outcomes, strict=True)]
    return roll_up(make_calls(rows).lazy(), bucket=None, phases=["total"]).cells


def draw(seed: int, calls: int = 600) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    outcomes = rng.choice(["ok", "error", "timeout", "cancelled", "rejected"], calls, p=[0.7, 0.1, 0.1, 0.05, 0.05])
    return rng.lognormal(0, 0.8, calls), outcomes


def test_without_censoring_it_is_the_plain_share() -> None:
    seconds, outcomes = draw(1)
    shares = cumulative_incidence(cells_of(seconds, outcomes), censored=[])
    for row in shares.iter_rows(named=True):
        by_then = upper_edge(index_of(seconds)) <= row["upper_s"] * (1 + 1e-12)
        assert row["running"] == pytest.approx(1 - by_then.mean())
        for outcome in ("ok", "error", "timeout", "cancelled", "rejected"):
            assert row[outcome] == pytest.approx(((outcomes == outcome) & by_then).mean())


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("kind", ["ok", "error", "rejected"])
def test_with_censoring_it_is_that_of_lifelines(seed: int, kind: str) -> None:
    seconds, outcomes = draw(seed)
    shares = cumulative_incidence(cells_of(seconds, outcomes))
    edges = upper_edge(index_of(seconds))
    codes = {"timeout": 0, "cancelled": 0, "ok": 1, "error": 2, "rejected": 3}
    causes = np.array([codes[str(outcome)] for outcome in outcomes])
    # lifelines wants no ties: events of a bucket a little before its edge, censorings on it.
    order = np.lexsort((causes == 0, edges))
    apart = edges[order] * (1 - 1e-9 * np.arange(len(edges), 0, -1) / len(edges))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = AalenJohansenFitter(calculate_variance=False).fit(apart, causes[order], event_of_interest=codes[kind])
    final = float(peer.cumulative_density_.iloc[-1, 0])
    assert shares[kind][-1] == pytest.approx(final, rel=0.01)
    assert shares.select("running", "ok", "error", "rejected").sum_horizontal().to_list() == pytest.approx(
        [1.0] * shares.height
    )


def test_the_estimate_lies_in_the_band_of_what_leavers_might_have_done() -> None:
    seconds, outcomes = draw(4, 2000)
    cells = cells_of(seconds, outcomes)
    band, estimate = leaving_band(cells, 0.9), LifeTable.from_cells(cells).quantile(0.9)
    assert band.soonest.value_s <= estimate.value_s <= band.latest.value_s


def test_callers_who_leave_because_it_is_slow_are_inside_the_band() -> None:
    rng = np.random.default_rng(5)
    whole = rng.lognormal(0, 0.8, 5000)
    leaves = (whole > 3.0) & (rng.random(5000) < 0.8)
    cells = cells_of(np.where(leaves, whole * 0.3, whole), np.where(leaves, "cancelled", "ok"))
    truth = float(np.quantile(whole, 0.9))
    band = leaving_band(cells, 0.9)
    assert band.soonest.value_s * (1 - relative_error()) <= truth <= band.latest.value_s * (1 + relative_error())
    assert LifeTable.from_cells(cells).quantile(0.9).value_s < 0.98 * truth


def test_if_more_leave_than_the_quantile_allows_there_is_no_upper_end() -> None:
    cells = cells_of(np.linspace(0.5, 2.0, 1000), np.where(np.arange(1000) % 20 == 0, "cancelled", "ok"))
    latest = leaving_band(cells, 0.99).latest
    assert (latest.status, latest.high_s) == ("at_least", None)
    assert latest.value_s == pytest.approx(2.0, rel=2.2 * relative_error())
