"""The verdict on candidates whose truth is known."""

import json
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from meshslo.analysis.canary.betting import log_wealth
from meshslo.analysis.canary.pairs import measures, pair, with_kinds
from meshslo.analysis.canary.verdict import Canary, CanarySettings, judge
from meshslo.telemetry.errors import BadInputError
from tests.support.canaries import versions

SETTINGS = CanarySettings()


def sides(calls: pl.DataFrame) -> pl.DataFrame:
    return calls.with_columns(is_candidate=pl.col("version") == "v2")


def verdict(calls: pl.DataFrame, weight: int | None = None, settings: CanarySettings = SETTINGS) -> Canary:
    return judge(sides(calls), settings, weight)


@pytest.fixture(scope="module")
def alike() -> Canary:
    return verdict(versions(13_000), weight=10)


def test_a_candidate_like_its_baseline_is_promoted_to_the_next_weight(alike: Canary) -> None:
    found = alike
    assert (found.verdict, found.next_weight, found.needs_calls) == ("promote", 25, None)
    assert all(each.standing == "within" for each in found.measures)
    assert {each.name for each in found.measures} == {"failed", "first_token", "max_gap", "total", "per_token"}


@pytest.mark.parametrize(
    ("worse", "name"), [({"failed": (0.01, 0.08)}, "failed"), ({"slower": 1.5}, "first_token"), ({"slower": 1.5}, "per_token")]
)
def test_a_worse_candidate_is_rolled_back_soon(worse: dict[str, object], name: str) -> None:
    found = verdict(versions(4000, **worse))  # type: ignore[arg-type]
    assert (found.verdict, found.next_weight) == ("roll_back", 0)
    assert next(each for each in found.measures if each.name == name).standing == "worse"


@pytest.mark.parametrize("calls", [versions(6000), versions(4000, slower=1.5), versions(600)], ids=["alike", "worse", "few"])
def test_the_course_is_sure_where_the_verdict_is(calls: pl.DataFrame) -> None:
    found = verdict(calls)
    for each, course in zip(found.measures, found.courses, strict=True):
        last = course.looks[-1]
        assert (course.name, last.pairs) == (each.name, each.pairs)
        assert (last.worse >= 1.0, last.within >= 1.0) == (each.low > 0.0, each.high < each.margin)
        assert all((one.at, one.pairs) < (later.at, later.pairs) for one, later in pairwise(course.looks))


def test_a_better_candidate_is_promoted() -> None:
    assert verdict(versions(8000, failed=(0.05, 0.01), slower=0.7)).verdict == "promote"


def test_before_the_evidence_holds_it_says_about_how_many_calls_are_missing() -> None:
    wide = CanarySettings(failed_margin=0.03, slow_margin=0.1)
    found = verdict(versions(1500), 5, wide)
    assert (found.verdict, found.next_weight) == ("hold", 5)
    assert found.needs_calls is not None
    later = verdict(versions(1500 + 5 * 2 * found.needs_calls), settings=wide)
    assert later.verdict == "promote"


def test_longer_prompts_do_not_make_a_candidate_slow() -> None:
    """v2 is asked the long prompts only: pooled its first tokens are far later, of each kind they are the same."""
    calls = versions(16_000, weight=0.3).filter((pl.col("version") == "v1") | (pl.col("input_tokens") > 1000))
    pooled = calls.group_by("version").agg(pl.col("first_token_s").median()).sort("version")["first_token_s"]
    assert pooled[1] > 1.3 * pooled[0]
    assert verdict(calls).verdict == "promote"


def test_cut_calls_are_no_proof_of_either() -> None:
    """A timer that cuts half of the calls hides what is longer: shares beyond what it shows stay open."""
    found = {each.name: each for each in verdict(versions(6000, cap_s=1.5)).measures}
    assert found["total"].standing == "open"
    assert found["total"].candidate is not None
    assert found["total"].candidate.high_s is None
    assert found["first_token"].standing != "worse"


def test_the_quantiles_of_both_sides_lie_within_their_limits(alike: Canary) -> None:
    found = {each.name: each for each in alike.measures}
    exact = versions(100_000, seed=9).group_by("version").agg(pl.col("first_token_s").quantile(0.95)).sort("version")
    for side, true_s in zip(
        (found["first_token"].baseline, found["first_token"].candidate), exact["first_token_s"], strict=True
    ):
        assert side is not None
        assert side.low_s is not None
        assert side.high_s is not None
        assert side.low_s <= true_s <= side.high_s


@pytest.mark.no_cover
def test_under_no_difference_a_thousand_looks_give_at_most_one_false_verdict_in_twenty() -> None:
    """What a look would say is read off the money along the way: all looks of 100 rollouts, of every measure.

    The rollouts come one after the other, each with a route of its own, so that no pair has calls of two.
    """
    rollouts, each = 100, 2500
    number = pl.int_range(pl.len()) // each
    calls = with_kinds(sides(versions(rollouts * each, weight=0.5).with_columns(route=pl.format("/{}", number))))
    starts = calls["start"].gather_every(each).to_list()
    needed = np.log(2 / (1 - SETTINGS.confidence) * len(measures()))
    wrong = np.zeros(rollouts, dtype=bool)
    for measure in measures():
        pairs = pair(calls, measure, SETTINGS.quantile)
        places = np.searchsorted(np.array(pairs.at), np.array([*starts[1:]]))
        for rollout, low in enumerate(np.split(pairs.low, places)):
            assert len(low) >= 600
            wrong[rollout] |= log_wealth(low, 0.0).max() >= needed
    assert wrong.sum() <= rollouts * 0.05


def test_a_look_later_does_not_take_a_verdict_back() -> None:
    """The verdict after each of many looks: once rolled back it stays so."""
    calls = versions(3000, slower=1.3, seed=3)
    said = [verdict(calls.head(n)).verdict for n in range(300, 3001, 450)]
    assert said[0] == "hold"
    assert said[-1] == "roll_back"
    assert said == sorted(said)


def test_the_order_of_rows_changes_nothing() -> None:
    calls = versions(2000)
    assert verdict(calls.sample(fraction=1.0, shuffle=True, seed=1)) == verdict(calls)


def test_one_side_alone_is_no_comparison() -> None:
    with pytest.raises(BadInputError, match="candidate has no calls"):
        verdict(versions(100, weight=0.0))


def test_the_json_says_what_it_is() -> None:
    read = json.loads(verdict(versions(1500)).to_json())
    assert read["schema"] == "meshslo.canary/1"
    assert {"verdict", "next_weight", "measures", "needs_calls"} <= set(read)
