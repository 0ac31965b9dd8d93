import json
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from meshslo.analysis.api import from_calls
from meshslo.analysis.backtest import Backtest, Row, backtest
from meshslo.analysis.config import Config, parse_config
from meshslo.telemetry.errors import BadInputError
from tests.support.llmperf import llmperf_calls
from tests.support.scenes import plain_calls

ONE_PERCENT = parse_config("[objectives]\nfalse_timeout_ratio = 0.01")
FIVE_PERCENT = parse_config("[objectives]\nfalse_timeout_ratio = 0.05")


def total(found: Backtest) -> Row:
    (row,) = [row for row in found.rows if row.setting == "total_timeout"]
    return row


def days_later(calls: pl.DataFrame, days: int) -> pl.DataFrame:
    return calls.with_columns((pl.col("start") + timedelta(days=days)).cast(calls.schema["start"]))


def test_a_promise_is_judged_on_calls_that_were_not_learned_from() -> None:
    durations = np.random.default_rng(3).exponential(1.0, 2000)
    row = total(backtest(plain_calls(durations).lazy(), ONE_PERCENT))
    assert (row.status, row.fit_calls, row.judged_calls) == ("judged", 1400, 600)
    assert row.own is not None
    assert row.own.value_s >= np.quantile(durations[:1400], 0.99)
    assert row.own.observed_rate == pytest.approx((durations[1400:] > row.own.value_s).mean(), abs=0.002)
    assert row.own.kept_promise


def test_a_change_for_the_worse_breaks_the_promise() -> None:
    durations = np.concatenate([np.full(700, 1.0), np.full(300, 3.0)])
    row = total(backtest(plain_calls(durations).lazy(), ONE_PERCENT))
    assert row.own is not None
    assert (row.own.kept_promise, row.own.observed_rate) == (False, pytest.approx(1.0))


def test_timers_of_one_call_share_a_budget_that_is_the_calls() -> None:
    gaps = plain_calls(np.ones(200)).with_columns(max_gap_s=pl.lit(0.1), streaming=pl.lit(value=True))
    for per, promised in (("timer", 0.05), ("call", 0.025)):
        config = parse_config(f'[objectives]\nfalse_timeout_ratio = 0.05\nbudget_per = "{per}"')
        rows = {row.setting: row.promised_rate for row in backtest(gaps.lazy(), config).rows}
        assert (rows["total_timeout"], rows["idle_gap_timeout"]) == (promised, promised)


def test_naive_rules_stand_beside() -> None:
    rng = np.random.default_rng(3)
    durations = rng.exponential(1.0, 2000)
    row = total(backtest(plain_calls(durations).lazy(), ONE_PERCENT))
    assert row.rules is not None
    fitted = durations[:1400]
    truth = {
        "p99_times_2": 2 * np.quantile(fitted, 0.99),
        "max": fitted.max(),
        "mean_plus_3_sigma": fitted.mean() + 3 * fitted.std(),
    }
    for name, value_s in truth.items():
        assert row.rules[name].value_s == pytest.approx(value_s, rel=0.02)
    assert set(row.rules) == {*truth, "drop_cut_calls"}


def test_dropping_cut_calls_cuts_more_than_promised() -> None:
    """The timer that cut them is gone in the second part: only the survival estimate foresaw how long they take."""
    rng = np.random.default_rng(4)
    # Every second call is cut early and at random, the long ones most of all.
    true_s, cut_s = rng.exponential(1.0, 4000), rng.exponential(1.0, 4000)
    cut = cut_s < true_s
    first = pl.concat([plain_calls(true_s[~cut]), plain_calls(cut_s[cut], outcome="cancelled")])
    later = days_later(plain_calls(rng.exponential(1.0, 2000)), 1)
    row = total(backtest(pl.concat([first, later]).lazy(), FIVE_PERCENT, split="day"))
    assert row.own is not None
    assert row.rules is not None
    assert row.own.kept_promise
    assert not row.rules["drop_cut_calls"].kept_promise


def test_each_day_is_judged_by_the_days_before() -> None:
    days = [days_later(plain_calls(np.linspace(0.5, 1.5, 400)), n) for n in range(3)]
    rows = [row for row in backtest(pl.concat(days).lazy(), ONE_PERCENT, split="day").rows if row.setting == "total_timeout"]
    assert [(row.fit_calls, row.judged_calls) for row in rows] == [(400, 400), (800, 400)]
    assert [row.judged_from[:10] for row in rows] == ["2026-11-03", "2026-11-04"]


def test_a_rolling_split_judges_each_tenth_by_all_before_it() -> None:
    rows = backtest(plain_calls(np.linspace(0.5, 1.5, 2000)).lazy(), ONE_PERCENT, split="rolling").rows
    assert [(row.fit_calls, row.judged_calls) for row in rows if row.setting == "total_timeout"] == [
        (1000, 200), (1200, 200), (1400, 200), (1600, 200), (1800, 200),
    ]  # fmt: skip
    # Durations only grow: no bound from what came before holds for what comes next.
    assert not any(row.own.kept_promise for row in rows if row.own)


def test_too_few_calls_say_how_many_more_it_takes() -> None:
    row = total(backtest(plain_calls([1.0] * 100).lazy(), ONE_PERCENT))
    assert (row.status, row.own, row.needs_calls) == ("not_identifiable", None, 229)


def test_the_json_is_what_scripts_rely_on() -> None:
    read = json.loads(backtest(plain_calls(np.linspace(0.5, 1.5, 1000)).lazy(), ONE_PERCENT, by=["hop"]).to_json())
    assert read["schema"] == "meshslo.backtest/1"
    (row,) = read["rows"]
    assert row["target"] == {"hop": "gateway>generator"}
    keys = {"setting", "status", "fit_calls", "judged_calls", "value_s", "promised_rate", "observed_rate", "observed_low"}
    assert keys | {"observed_high", "kept_promise", "rules"} <= set(row)
    assert set(row["rules"]["max"]) == {"value_s", "observed_rate", "observed_low", "observed_high", "kept_promise"}


@pytest.mark.parametrize(
    ("split", "sentence"),
    [
        ("day", "two days or more; there are 1"),
        (1.5, "split 1.5 is outside"),
        (0.05, "leaves no calls to fit on"),
    ],
)
def test_a_split_that_leaves_nothing_is_named(split: float, sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        backtest(plain_calls([1.0] * 10).lazy(), split=split)


def test_slices_without_calls_are_named() -> None:
    with pytest.raises(BadInputError, match="leaves a slice without calls"):
        backtest(plain_calls([1.0] * 4).lazy(), split="rolling")


def test_a_store_is_asked_by_the_same_verb() -> None:
    found = from_calls(plain_calls(np.linspace(0.5, 1.5, 1000))).backtest(config=ONE_PERCENT)
    assert found.frame["setting"].to_list() == ["total_timeout"]


# Real services: 11 hosted models, 150 streaming requests each (ray-project/llmperf-leaderboard, December 2023)


def test_promises_on_real_services_are_kept() -> None:
    found = backtest(llmperf_calls().lazy(), FIVE_PERCENT)
    judged = [row for row in found.rows if row.own is not None]
    # Eight services have 59 calls to fit on, lepton and bedrock answered too few.
    assert {row.target["hop"] for row in found.rows if row.own is None} == {"bench>bedrock", "bench>lepton"}
    assert len(judged) == 16
    assert not found.broken
    observed = [row.own.observed_rate for row in judged if row.own]
    assert np.mean(observed) <= 0.05


def test_one_per_cent_of_real_services_is_not_identifiable_from_105_calls() -> None:
    found = backtest(llmperf_calls().lazy(), ONE_PERCENT)
    assert {row.status for row in found.rows} == {"not_identifiable"}
    assert {row.needs_calls for row in found.rows} <= set(range(190, 299))


def test_the_default_config_promises_a_tenth_of_a_per_cent() -> None:
    assert total(backtest(plain_calls([1.0] * 100).lazy(), Config())).promised_rate == 0.001
