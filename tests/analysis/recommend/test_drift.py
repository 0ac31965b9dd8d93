import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from meshslo.analysis.config import parse_config
from meshslo.analysis.recommend import observe, recommend
from meshslo.analysis.recommend.drift import Supports, support
from meshslo.analysis.recommend.recommendation import Learned, Recommendations, parse_recommendations
from tests.support.calls import EPOCH
from tests.support.scenes import plain_calls

CONFIG = parse_config("[objectives]\nfalse_timeout_ratio = 0.01")


def sample(seed: int, scale: float = 1.0, hours: int = 0) -> pl.DataFrame:
    calls = plain_calls(np.random.default_rng(seed).exponential(scale, 1000))
    return calls.with_columns((pl.col("start") + timedelta(hours=hours)).cast(calls.schema["start"]))


ADVICE = recommend(observe(sample(1).lazy(), CONFIG), ["timeouts"])


def judged(calls: pl.DataFrame, advice: Recommendations = ADVICE) -> Supports:
    return support(advice, observe(calls.lazy(), CONFIG))


def test_the_same_service_supports_its_advice() -> None:
    (found,) = judged(sample(2)).items
    assert found.supported
    assert found.since is None
    assert found.observed_low <= 0.01


def test_timers_of_one_call_share_a_budget_that_is_the_calls() -> None:
    (total,) = ADVICE.items
    advice = replace(ADVICE, items=(total, replace(total, setting="per_try_timeout")))
    config = parse_config('[objectives]\nfalse_timeout_ratio = 0.01\nbudget_per = "call"')
    found = {each.setting: each.promised_rate for each in support(advice, observe(sample(2).lazy(), config)).items}
    assert found["total_timeout"] == 0.005


def test_a_slower_service_does_not_and_says_since_when() -> None:
    (found,) = judged(pl.concat([sample(2), sample(3, hours=5), sample(4, scale=2.0, hours=10)])).items
    assert not found.supported
    assert found.since == EPOCH + timedelta(hours=10)
    assert str(found).endswith("no longer supported, since 2026-11-02 19:00Z")


def test_calls_that_the_timer_itself_cut_count_against_it() -> None:
    (item,) = ADVICE.items
    assert item.proposed is not None
    limit_s = float(item.proposed.value)
    slow = sample(4, scale=2.0)
    cut = pl.col("duration_s") > limit_s
    under_it = slow.with_columns(
        outcome=pl.when(cut).then(pl.lit("timeout")).otherwise("outcome"),
        duration_s=pl.when(cut).then(limit_s + 0.002).otherwise("duration_s"),
    )
    (found,) = judged(under_it).items
    assert not found.supported
    assert found.observed_rate == pytest.approx(slow.filter(cut).height / slow.height, abs=0.005)


def test_targets_without_calls_are_left_out() -> None:
    found = judged(sample(2).with_columns(hop=pl.lit("a>b"), caller=pl.lit("a"), callee=pl.lit("b")))
    assert found.items == ()
    assert found.frame.is_empty()


def test_the_json_names_target_rate_and_begin() -> None:
    (item,) = json.loads(judged(sample(4, scale=2.0)).to_json())["items"]
    assert item["target"] == {"hop": "gateway>generator", "route": "/v1/chat", "model": None}
    assert (item["supported"], item["since"]) == (False, EPOCH.isoformat())


def test_the_frame_has_a_row_a_timeout() -> None:
    found = judged(sample(4, scale=2.0))
    (row,) = found.frame.to_dicts()
    assert (row["hop"], row["model"], row["supported"]) == ("gateway>generator", None, False)
    assert row["since"] == found.items[0].since


def test_advice_says_what_it_was_learned_on_and_until_when_to_trust_it() -> None:
    learned = ADVICE.learned
    assert learned is not None
    assert (learned.start, learned.end) == (EPOCH, EPOCH + timedelta(seconds=999))
    assert learned.expires == learned.end + timedelta(days=1)
    assert not judged(sample(2)).expired
    late = judged(sample(2, hours=30))
    assert late.expired
    assert json.loads(late.to_json())["expired"] is True
    assert parse_recommendations(ADVICE.to_json()).learned == learned


def test_trust_lasts_as_long_as_the_calls_did_a_month_at_most() -> None:
    week, year = (Learned.between(EPOCH, EPOCH + timedelta(days=days)) for days in (7, 365))
    assert week.expires == EPOCH + timedelta(days=14)
    assert year.expires == EPOCH + timedelta(days=395)


def test_hours_of_the_day_that_break_the_promise_are_named() -> None:
    """Every day from nine to ten o'clock the service is slow; over all hours together the promise holds."""
    days = [sample(10 + day, hours=24 * day + hour) for day in range(3) for hour in range(1, 20)]
    peak = [sample(90 + day, scale=1.5, hours=24 * day) for day in range(3)]
    (found,) = judged(pl.concat([*days, *peak])).items
    assert found.supported
    assert found.times == ("09 h",)
    assert str(found).endswith("it cuts too many at 09 h")


def test_days_of_the_week_count_where_weeks_were_seen() -> None:
    days = [sample(10 + day, scale=1.5 if day % 7 == 5 else 1.0, hours=24 * day) for day in range(21)]
    (found,) = judged(pl.concat(days)).items
    assert "Saturday" in found.times
    assert "Monday" not in found.times
