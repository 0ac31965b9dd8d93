"""Failover from calls that two places answered."""

import re
from dataclasses import dataclass

import polars as pl
import pytest

from meshslo.analysis.config import Config, parse_config
from meshslo.analysis.knee import Knee
from meshslo.analysis.policy.deployed import ClusterRule, Deployed
from meshslo.analysis.policy.values import Placed
from meshslo.analysis.recommend import Recommendation, Recommendations, observe, recommend
from meshslo.analysis.recommend.failover import RECOMMENDER, _Run
from meshslo.analysis.recommend.recommendation import Proposed, Target
from tests.support.places import placed_calls
from tests.support.policies import wanted

OUTAGES = ((60.0, 80.0), (200.0, 290.0))
WANTED = parse_config('[hops."gateway>generator"]\nfailover = ["east", "west"]')


def answers(calls: pl.DataFrame, config: Config | None = None, deployed: Deployed | None = None) -> dict[str, Recommendation]:
    return {item.setting: item for item in RECOMMENDER.recommend(observe(calls.lazy(), config, deployed))}


@pytest.mark.parametrize("by", ["cluster", "provider"])
def test_outages_say_when_it_would_have_failed_over_and_what_that_needs(by: str) -> None:
    found = answers(placed_calls(by=by, outages=OUTAGES, slower=1.5))
    item = found[f"failover_{by}"]
    assert (item.status, item.proposed and item.proposed.value) == ("change", "east,west")
    assert re.search(r"3 failures in a row of one endpoint would have set it off 3 times, for 1\d\d s in all", item.reason)
    assert "slowness alone sets nothing off" in item.reason
    assert "whether it bears" in item.reason
    assert {name for name in found if not name.startswith("failover")} == {
        "consecutive_5xx",
        "interval",
        "base_ejection_time",
        "max_ejection_percent",
    }
    # Two pods each; a provider is one endpoint.
    assert found["max_ejection_percent"].proposed.value == {"cluster": 75, "provider": 50}[by]  # type: ignore[union-attr]


def test_failures_that_others_would_have_answered_are_gone() -> None:
    failed = answers(placed_calls(outages=OUTAGES))["failover_cluster"].effect["failed_calls"]
    assert failed.before is not None
    assert failed.after is not None
    assert failed.before > 300
    assert failed.after < 0.2 * failed.before
    none = answers(placed_calls())["failover_cluster"]
    assert "nothing would have set it off" in none.reason
    rate = none.effect["failovers_per_day"]
    assert (rate.after, rate.after_low) == (0.0, 0.0)
    assert rate.after_high is not None
    assert rate.after_high > 100


def test_a_long_outage_goes_back_and_forth_and_says_so() -> None:
    item = answers(placed_calls(outages=((60.0, 240.0),)))["failover_cluster"]
    flaps = item.effect["flaps_per_day"].after
    assert flaps is not None
    assert flaps > 0
    assert "come back only to be ejected again, with 3 more failures each" in item.reason


def test_a_place_that_was_never_seen_is_asked_for() -> None:
    unseen = answers(placed_calls(probes=0.0), WANTED)
    assert {(item.status, item.proposed) for item in unseen.values()} == {("not_identifiable", None)}
    assert "west was never seen to answer: how it would is not known; send it more calls as probes (59" in (
        unseen["failover_cluster"].reason
    )
    few = answers(placed_calls(200), WANTED)["failover_cluster"]
    assert (few.status, "more calls that west answers" in few.reason) == ("not_identifiable", True)


def test_one_place_alone_leaves_nothing_to_choose() -> None:
    item = answers(placed_calls(probes=0.0))["failover_cluster"]
    assert (item.status, item.proposed) == ("keep", None)


def test_equals_stay_equals_unless_one_is_preferred() -> None:
    calls = placed_calls(probes=0.5)
    assert [(item.status, item.proposed) for item in answers(calls).values()] == [("keep", None)]
    assert answers(calls, WANTED)["failover_cluster"].status == "change"


def test_a_place_that_fails_as_often_is_no_help() -> None:
    item = answers(placed_calls(outages=OUTAGES, fails=1.0))["failover_cluster"]
    assert (item.status, item.proposed) == ("keep", None)
    assert "nothing is won" in item.reason


def test_a_place_that_always_fails_now_and_then_needs_a_higher_limit() -> None:
    calls = placed_calls(2000, probes=0.1)
    every_third = pl.col("pod").str.starts_with("east") & (pl.col("trace_id").rank("ordinal") % 3 == 0)
    noisy = calls.with_columns(
        outcome=pl.when(every_third).then(pl.lit("error")).otherwise("outcome"),
        status_code=pl.when(every_third).then(pl.lit(503, dtype=pl.Int16)).otherwise("status_code"),
    )
    found = answers(noisy)
    assert found["consecutive_5xx"].proposed is not None
    assert float(found["consecutive_5xx"].proposed.value) >= 9
    assert "nothing would have set it off" in found["failover_cluster"].reason


def test_tokens_cost_what_the_place_takes() -> None:
    prices = "[models.m]\ninput_price = 1.0\noutput_price = 10.0\n[prices.places]\nwest = 1.5"
    item = answers(placed_calls(), parse_config(prices))["failover_cluster"]
    cost = item.effect["token_cost_per_call"]
    assert (cost.before, cost.after) == (pytest.approx(0.002), pytest.approx(0.003))
    assert "a call's tokens cost 0.003" in item.reason
    assert "token_cost_per_call" not in answers(placed_calls())["failover_cluster"].effect


def test_what_is_deployed_is_kept() -> None:
    first = answers(placed_calls(outages=OUTAGES))
    held = {name: Placed(item.proposed.value, item.proposed.unit, "x") for name, item in first.items() if item.proposed}
    deployed = Deployed(clusters=(ClusterRule("generator", held | {"failover_cluster": Placed("east", "names", "x")}),))
    assert {item.status for item in answers(placed_calls(outages=OUTAGES), deployed=deployed).values()} == {"keep"}


def test_what_a_failover_needs_stands_in_the_place_of_what_ejection_alone_would() -> None:
    """With both pods of a place out at a time nobody's fault is found; a failover knows better."""
    observed = observe(placed_calls(outages=OUTAGES).lazy(), WANTED)
    alone: Recommendations = recommend(observed, ["outliers"])
    both = recommend(observed, ["outliers", "failovers"])
    settings = [(item.setting, str(item.target)) for item in both.items]
    assert len(settings) == len(set(settings))
    assert {item.setting for item in alone.items} <= {setting for setting, _ in settings}
    chosen = next(item for item in both.items if item.setting == "consecutive_5xx")
    assert "a failover needs to know" in chosen.reason


@dataclass(frozen=True)
class Bearing:
    """The load of a callee that bears a number of calls at a time."""

    at: float

    def wait_knee(self, *_: object) -> Knee:
        return Knee("found", 40.0, self.at, self.at, self.at)


@pytest.mark.parametrize(("bears", "percent"), [(40.0, 153), (10.0, 100)])
def test_what_the_preferred_place_bears_beyond_its_peak_says_when_calls_leave_it(bears: float, percent: int) -> None:
    """Two of four endpoints are its own, so half of what all bear; without a knee nothing is said, and Envoy's own holds."""
    run = _Run(observe(placed_calls(outages=OUTAGES).lazy()), Target("gateway>generator"), {"generator": Bearing(bears)})  # type: ignore[dict-item]
    found = {item.setting: item for item in run.items()}
    assert found["overprovisioning"].proposed is not None
    assert run.sides[0].peak == 13.0
    assert found["overprovisioning"].proposed.value == percent
    assert "overprovisioning" not in answers(placed_calls(outages=OUTAGES))


@dataclass(frozen=True)
class Needing:
    """A recommender of locality that needs an ejection percentage."""

    percent: int
    kind: str = "locality"
    plural: str = "localities"

    def recommend(self, _: object) -> list[Recommendation]:
        return [wanted("max_ejection_percent", self.percent, route=None)]


def test_of_what_several_need_the_largest_serves_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshslo.analysis.recommend.recommenders", lambda: [Needing(60), Needing(80), Needing(70)])
    (item,) = recommend(observe(placed_calls(1).lazy())).items
    assert item.proposed == Proposed(80, "percent")
