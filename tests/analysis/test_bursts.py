import numpy as np
import polars as pl
import pytest

from meshslo.analysis.bursts import Minutes, Spread, design_effect, design_effects, largest_effect, largest_effects
from meshslo.analysis.config import parse_config
from meshslo.analysis.recommend import observe, recommend
from tests.support.scenes import plain_calls

CONFIG = parse_config("[objectives]\nfalse_timeout_ratio = 0.01")
GROUP = ("gateway>generator", "/v1/chat", None)


def effect(durations: np.ndarray) -> float:
    """The design effect of calls a second apart, those above 1 s being long."""
    calls = plain_calls(durations).lazy()
    return design_effects(calls, "total", {GROUP: 1.0}, {"gateway>generator": "client"}).get(GROUP, 1.0)


def test_independent_calls_count_in_full() -> None:
    seeds = range(40)
    widened = [seed for seed in seeds if effect(np.random.default_rng(seed).exponential(1 / 3, 3600)) > 1.0]
    assert len(widened) <= 6  # 5 % of 40 by chance


def test_minutes_that_are_slow_as_a_whole_count_for_little() -> None:
    """One minute of twenty is slow and all its 60 calls are long: 3,600 calls are worth 60 minutes."""
    durations = np.full(3600, 0.5)
    for minute in range(0, 60, 20):
        durations[60 * minute : 60 * (minute + 1)] = 2.0
    # All of a minute's calls alike: the effect is a minute's calls, 60, by B / (B - 1).
    assert effect(durations) == pytest.approx(60 * 60 / 59)


def test_few_minutes_do_not_show_how_minutes_differ() -> None:
    durations = np.full(1080, 0.5)
    durations[:60] = 2.0
    assert effect(durations) == 1.0


def test_bursts_widen_what_is_recommended_and_are_said() -> None:
    rng = np.random.default_rng(7)
    slow = np.repeat(rng.random(240) < 0.1, 60)
    bursty = rng.exponential(1.0, 14_400) * np.where(slow, 3.0, 1.0)
    shuffled = np.random.default_rng(12).permutation(bursty)

    def total(durations: np.ndarray) -> tuple[float, str]:
        (item,) = recommend(observe(plain_calls(durations).lazy(), CONFIG), ["timeouts"]).items
        assert item.proposed is not None
        return float(item.proposed.value), item.reason

    (in_bursts, why), (mixed, plain) = total(bursty), total(shuffled)
    assert in_bursts > mixed
    assert "independent ones" in why
    assert "independent ones" not in plain


def test_calls_cut_before_the_limit_are_neither_long_nor_short() -> None:
    calls = pl.concat([plain_calls(np.full(1800, 0.5)), plain_calls(np.full(1800, 0.2), outcome="cancelled")])
    assert design_effects(calls.lazy(), "total", {GROUP: 1.0}, {"gateway>generator": "client"}) == {}


def test_services_that_change_by_the_hour_are_bursty_by_the_hour() -> None:
    """Within an hour minutes are alike; hours differ. Blocks of minutes alone would see a part of it."""
    hours, a_minute = 48, 10
    pace = np.random.default_rng(3).lognormal(0.0, 0.5, hours)
    long = np.random.default_rng(4).binomial(a_minute, np.clip(0.05 * np.repeat(pace, 60), 0, 1)).astype(float)
    minutes = Minutes(np.full(hours * 60, float(a_minute)), long, np.arange(hours * 60))
    by_minute = design_effect(minutes.calls, minutes.long)
    assert largest_effect(minutes) > 3 * by_minute
    shuffled = np.random.default_rng(5).permutation(long)
    assert largest_effect(minutes._replace(long=shuffled)) == pytest.approx(design_effect(minutes.calls, shuffled), rel=0.5)


def test_many_groups_at_once_are_each_as_if_alone() -> None:
    rng = np.random.default_rng(6)
    minute = [np.sort(rng.choice(300, size, replace=False)) for size in (250, 30, 5, 0, 120)]
    calls = [rng.integers(1, 50, len(each)) * 1.0 for each in minute]
    long = [rng.binomial(each.astype(int), 0.1) * 1.0 for each in calls]
    group = np.repeat(np.arange(5), [len(each) for each in minute])
    together = largest_effects(Spread(group, *(np.concatenate(each) for each in (minute, calls, long))), 5)
    parts = (Minutes(*each) for each in zip(calls, long, minute, strict=True))
    assert np.nan_to_num(together, nan=1.0).tolist() == pytest.approx([largest_effect(part, sure=None) for part in parts])
    assert np.isnan(together).tolist() == [False, False, True, True, False], "too few blocks are not the same as no bursts"


def test_many_targets_at_once_are_counted_as_one_by_one() -> None:
    rng = np.random.default_rng(8)
    calls = pl.concat(
        plain_calls(rng.exponential(1.0, 3000) * np.repeat(rng.choice([1, 3], 50), 60), route=route, model=model, outcome=how)
        for route, model in [("/a", "m"), ("/a", "n"), ("/b", None)]
        for how in ("ok", "timeout")
    )
    places = [("gateway>generator", "/a", None), ("gateway>generator", "/a", "n"), ("gateway>generator", "/b", None)]
    limits_s = {place: 2.0 + n for n, place in enumerate(places)}
    expected = {}
    for place, limit_s in limits_s.items():
        counted: dict[int, list[int]] = {}
        for row in calls.iter_rows(named=True):
            is_long = row["duration_s"] > limit_s
            if row["route"] == place[1] and place[2] in (None, row["model"]) and (row["outcome"] == "ok" or is_long):
                cell = counted.setdefault(int(row["start"].timestamp()) // 60, [0, 0])
                cell[0], cell[1] = cell[0] + 1, cell[1] + is_long
        numbers = (np.array([cell[n] for cell in counted.values()], float) for n in (0, 1))
        expected[place] = largest_effect(Minutes(*numbers, np.array(list(counted))))
    assert min(expected.values()) > 1.0
    assert design_effects(calls.lazy(), "total", limits_s, {"gateway>generator": "client"}) == pytest.approx(expected)
