"""How objectives stand: each call judged honestly, budgets and burn rates by hand-counted examples, laws over any calls."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshslo.analysis import from_calls
from meshslo.analysis.config import Config, parse_config
from meshslo.analysis.interval import wilson
from meshslo.analysis.slo.standing import Counts, Standing
from meshslo.telemetry.errors import BadConfigError, BadInputError, StoreError
from tests.support.calls import EPOCH, make_call, make_calls

WITHIN = '[[slo]]\nname = "fast"\nhop = "gateway>generator"\nsli = "total"\nthreshold_s = 2.0\ntarget = 0.9\nwindow = "30d"\n'
SUCCESS = '[[slo]]\nname = "works"\nhop = "gateway>generator"\nsli = "success"\ntarget = 0.99\nwindow = "30d"\n'
GOODPUT = '[[slo]]\nname = "good"\nhop = "gateway>generator"\nsli = "goodput"\nall_of = ["fast", "works"]\ntarget = 0.9\n'


def standings(rows: list[dict[str, Any]], text: str, at_s: float | None = None) -> dict[str, Standing]:
    at = None if at_s is None else EPOCH + timedelta(seconds=at_s)
    report = from_calls(make_calls(rows)).slo(parse_config(text), at=at)
    return {standing.objective.name: standing for standing in report.standings}


def standing(rows: list[dict[str, Any]], text: str = WITHIN, at_s: float | None = None) -> Standing:
    return next(iter(standings(rows, text, at_s).values()))


def calls(number: int, **columns: Any) -> list[dict[str, Any]]:
    return [make_call(**columns) for _ in range(number)]


@pytest.mark.parametrize(
    ("columns", "verdict"),
    [
        ({"duration_s": 2.0}, "kept"),
        ({"duration_s": 2.1}, "broken"),
        ({"duration_s": 2.1, "outcome": "timeout"}, "broken"),
        ({"duration_s": 2.0, "outcome": "timeout"}, "broken"),
        ({"duration_s": 1.9, "outcome": "timeout"}, "unknown"),
        ({"duration_s": 0.1, "outcome": "cancelled"}, "unknown"),
        ({"duration_s": 0.1, "outcome": "error"}, "others"),
        ({"duration_s": 9.0, "outcome": "rejected"}, "others"),
    ],
)
def test_a_call_cut_before_the_threshold_is_unknown(columns: dict[str, Any], verdict: str) -> None:
    counts = standing([make_call(), make_call(**columns)]).counts
    seen = {name: getattr(counts, name) for name in ("kept", "broken", "unknown", "others")}
    expected = dict.fromkeys(seen, 0) | {"kept": 1}
    expected[verdict] += 1
    assert seen == expected


def test_who_leaves_is_no_failure_and_what_a_timer_cuts_is() -> None:
    rows = calls(3) + [make_call(outcome=outcome) for outcome in ("error", "timeout", "rejected", "cancelled")]
    counts = standing(rows, SUCCESS).counts
    assert (counts.kept, counts.broken, counts.unknown, counts.others) == (3, 3, 0, 1)


def test_goodput_is_what_keeps_all_and_failures_stay_in_its_denominator() -> None:
    rows = [
        *calls(5),
        make_call(duration_s=3.0),
        make_call(outcome="error", duration_s=0.1),
        make_call(outcome="timeout", duration_s=1.0),
        make_call(outcome="cancelled", duration_s=0.5),
    ]
    found = standings(rows, WITHIN + SUCCESS + GOODPUT)["good"]
    assert (found.counts.kept, found.counts.broken, found.counts.unknown) == (5, 3, 1)
    assert found.attained is not None
    assert found.attained.estimate == pytest.approx(5 / 8)


def test_goodput_counts_calls_and_not_products_of_shares() -> None:
    both_at_once = calls(8) + calls(2, duration_s=3.0, outcome="timeout")
    found = standings(both_at_once, WITHIN + SUCCESS + GOODPUT)["good"]
    assert found.attained is not None
    assert found.attained.estimate == pytest.approx(0.8)


def test_the_interval_is_wilsons_where_every_call_is_known() -> None:
    found = standing(calls(95) + calls(5, duration_s=3.0))
    assert found.attained == wilson(95, 100)
    assert (found.status, found.is_sure) == ("met", False)
    assert found.budget_left is not None
    assert found.budget_left.estimate == pytest.approx(0.5)
    assert found.exhausted_in_s == pytest.approx(30 * 86_400)


def test_unknown_calls_widen_the_interval_and_may_leave_it_undecided() -> None:
    found = standing(calls(85) + calls(15, duration_s=1.5, outcome="timeout"))
    assert found.status == "undecided"
    assert found.attained is not None
    assert found.attained.low == pytest.approx(wilson(85, 100).low)
    assert found.attained.high == 1.0


def test_the_estimate_is_the_survival_curves() -> None:
    # Half are cut at 1 s; of those followed further half end by 2 s: of the cut ones half would have, too.
    rows = calls(50, duration_s=1.0, outcome="timeout") + calls(25, duration_s=1.5) + calls(25, duration_s=4.0)
    found = standing(rows)
    assert found.attained is not None
    assert found.attained.estimate == pytest.approx(0.5)
    assert found.counts.decided == pytest.approx(0.5)
    early = standing([*calls(40, duration_s=0.5), *calls(40, duration_s=1.0, outcome="timeout"), *calls(20, duration_s=4.0)])
    assert early.attained is not None
    assert early.attained.estimate == pytest.approx(0.4)


def test_a_missed_objective_is_missed_whatever_unknown_calls_would_have_done() -> None:
    found = standing(calls(70) + calls(25, duration_s=3.0) + calls(5, outcome="timeout"))
    assert (found.status, found.is_sure) == ("missed", True)
    assert found.exhausted_in_s == 0.0


def test_weights_count_in_shares_and_thin_the_sample() -> None:
    found = standing(calls(50, weight=1.0) + calls(5, duration_s=3.0, weight=10.0))
    assert found.attained is not None
    assert found.attained.estimate == pytest.approx(0.5)
    assert found.counts.effective == pytest.approx(100**2 / (50 + 500))


def test_only_calls_of_the_selection_count() -> None:
    rows = calls(3) + calls(4, tenant="other", duration_s=9.0) + calls(5, model="other", duration_s=9.0)
    found = standing(rows, WITHIN + 'tenant = "t"\nmodel = "m"\n')
    assert (found.counts.kept, found.counts.broken) == (3, 0)


def test_one_call_seen_from_two_vantages_counts_once_from_the_outermost() -> None:
    rows = calls(4, vantage="client", duration_s=3.0) + calls(4, vantage="server")
    assert standing(rows).vantage == "client"
    assert standing(rows).counts.broken == 4
    assert standing(rows, WITHIN + 'vantage = "server"\n').counts.kept == 4


def test_a_vantage_that_does_not_measure_the_phase_is_not_asked() -> None:
    text = WITHIN.replace("total", "first_token")
    rows = calls(4, vantage="client", streaming=None) + calls(4, vantage="server", first_token_s=0.5)
    found = standing(rows, text)
    assert (found.vantage, found.counts.kept) == ("server", 4)


def test_calls_before_the_window_do_not_count() -> None:
    rows = calls(5, duration_s=3.0) + calls(5, at_s=86_400 * 2)
    found = standing(rows, WITHIN.replace("30d", "1d"), at_s=86_400 * 2 + 60)
    assert (found.counts.kept, found.counts.broken) == (5, 0)


def test_no_calls_of_an_objective_are_said() -> None:
    found = standing(calls(5), WITHIN.replace("generator", "nobody"))
    assert (found.status, found.attained, found.vantage) == ("no_data", None, None)


def outage(*, per_minute: int, minutes: int, broken_from: int) -> list[dict[str, Any]]:
    return [
        make_call(at_s=60.0 * minute + n, outcome="error" if minute >= broken_from else "ok")
        for minute in range(minutes)
        for n in range(per_minute)
    ]


def test_an_outage_fires_the_fast_alert_and_says_when_the_budget_is_gone() -> None:
    found = standing(outage(per_minute=10, minutes=120, broken_from=100), SUCCESS, at_s=7200)
    fast = found.burns[0]
    assert (fast.severity, fast.factor, fast.needs_calls) == ("page", 14.4, 7)
    assert fast.long == pytest.approx((20 / 60) / 0.01)
    assert fast.short == pytest.approx(100.0)
    assert fast.fires


def test_an_outage_that_is_over_fires_no_more() -> None:
    rows = outage(per_minute=10, minutes=120, broken_from=100)
    healed = [make_call(at_s=7200 + 60.0 * minute + n) for minute in range(10) for n in range(10)]
    found = standing(rows + healed, SUCCESS, at_s=7800)
    assert found.burns[0].long is not None
    assert found.burns[0].long > 14.4
    assert not found.burns[0].fires


def test_a_single_failure_at_low_traffic_fires_nothing() -> None:
    rows = [*calls(2), make_call(outcome="error")]
    found = standing(rows, SUCCESS, at_s=60)
    assert found.burns[0].long is not None
    assert found.burns[0].long > 14.4
    assert not found.fires


def test_json_says_what_it_rests_on() -> None:
    store = from_calls(make_calls(calls(95) + calls(5, duration_s=3.0)))
    document = json.loads(store.slo(parse_config(WITHIN)).to_json())
    assert document["schema"] == "meshslo.slo/1"
    item = document["items"][0]
    assert (item["name"], item["status"], item["kept"], item["vantage"]) == ("fast", "met", 95, "server")
    assert set(item["attained"]) == {"estimate", "low", "high"}
    assert [burn["long"] for burn in item["burn"]] == ["1h", "6h", "1d", "3d"]
    frame = store.slo(parse_config(WITHIN)).frame
    assert frame["attained_low"].item() == pytest.approx(item["attained"]["low"])


def test_a_config_without_objectives_and_a_store_without_calls_are_said() -> None:
    with pytest.raises(BadConfigError, match=r"\[\[slo\]\]"):
        from_calls(make_calls(calls(1))).slo(Config())
    with pytest.raises(StoreError):
        from_calls(make_calls(calls(1)).clear()).slo(parse_config(WITHIN))


OUTCOMES = st.sampled_from(["ok", "error", "timeout", "cancelled", "rejected"])
ANY = st.lists(st.tuples(st.floats(0.01, 5.0), OUTCOMES, st.integers(0, 3600)), min_size=1, max_size=40)


@settings(max_examples=40, deadline=None)
@given(ANY)
def test_laws_of_any_calls(seen: list[tuple[float, str, int]]) -> None:
    rows = [make_call(duration_s=duration, outcome=outcome, at_s=at) for duration, outcome, at in seen]
    found = standings(rows, WITHIN + SUCCESS + GOODPUT)
    for each in found.values():
        counts = each.counts
        assert counts.calls + counts.others == len(rows)
        if each.attained is not None:
            assert each.attained.low <= counts.least + 1e-9 <= each.attained.estimate + 2e-9
            assert each.attained.estimate <= counts.most + 1e-9 <= each.attained.high + 2e-9
            assert (each.status == "met") == (counts.least >= each.objective.target - 1e-9)
    assert found["good"].counts.kept <= min(found["fast"].counts.kept, found["works"].counts.kept)
    assert found["good"].counts.broken >= max(found["fast"].counts.broken, found["works"].counts.broken)


@settings(max_examples=20, deadline=None)
@given(ANY, st.randoms())
def test_the_order_of_calls_changes_nothing(seen: list[tuple[float, str, int]], random: Any) -> None:
    rows = [make_call(duration_s=duration, outcome=outcome, at_s=at) for duration, outcome, at in seen]
    frame = make_calls(rows)
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=random.randint(0, 2**31))
    config = parse_config(WITHIN + SUCCESS)
    left, right = (from_calls(table).slo(config).frame for table in (frame, shuffled))
    assert left.select(pl.exclude("exhausted_in_s")).equals(right.select(pl.exclude("exhausted_in_s")))


def test_failures_that_come_in_bursts_know_less() -> None:
    spread = [make_call(at_s=60.0 * n + i, outcome="error" if i == 0 else "ok") for n in range(60) for i in range(20)]
    bursts = [make_call(at_s=60.0 * n + i, outcome="error" if n % 20 == 0 else "ok") for n in range(60) for i in range(20)]
    even, uneven = (standing(rows, SUCCESS).attained for rows in (spread, bursts))
    assert even is not None
    assert uneven is not None
    assert even.estimate == uneven.estimate == pytest.approx(0.95)
    assert even.low == pytest.approx(wilson(1140, 1200).low)
    assert uneven.high - uneven.low > 2 * (even.high - even.low)


def test_an_objective_may_stand_for_each_tenant() -> None:
    rows = [
        *calls(10, tenant="a"),
        *calls(10, tenant="b", duration_s=3.0),
        *calls(5, tenant="c", duration_s=1.0),
        *calls(5, tenant="c", duration_s=1.5, outcome="timeout"),
        *calls(4, tenant=None),
    ]
    report = from_calls(make_calls(rows)).slo(parse_config(WITHIN + SUCCESS), each=["tenant"])
    found = {(each.objective.name, each.objective.tenant): each for each in report.standings}
    counts = {
        tenant: (each.counts.kept, each.counts.broken, each.counts.unknown)
        for (name, tenant), each in found.items()
        if name == "fast"
    }
    assert counts == {"": (4, 0, 0), "a": (10, 0, 0), "b": (0, 10, 0), "c": (5, 0, 5)}
    assert [tenant for name, tenant in found if name == "works"] == ["", "a", "b", "c"]
    assert found["works", "c"].counts.broken == 5
    alone = from_calls(make_calls(rows)).slo(parse_config(WITHIN + 'tenant = "c"\n')).standings[0]
    assert found["fast", "c"] == alone
    assert [row["tenant"] for row in report.rows()][:4] == ["", "a", "b", "c"]


def test_an_objective_that_names_a_tenant_stands_for_that_one_alone() -> None:
    rows = calls(3, tenant="a") + calls(2, tenant="b")
    report = from_calls(make_calls(rows)).slo(parse_config(WITHIN + 'tenant = "a"\n'), each=["tenant"])
    assert [(each.objective.tenant, each.counts.kept) for each in report.standings] == [("a", 3)]
    nobody = from_calls(make_calls(rows)).slo(parse_config(WITHIN.replace("generator", "nobody")), each=["tenant"])
    assert [each.status for each in nobody.standings] == ["no_data"]
    with pytest.raises(BadInputError, match="objectives stand for each of route, model, tenant, not of pod"):
        from_calls(make_calls(rows)).slo(parse_config(WITHIN), each=["pod"])


def hidden_timer(at_s: float = 15.0) -> list[dict[str, Any]]:
    """Calls that a timer ends at `at_s` and whose ending is told as `ok`; 8 % are slower than that."""
    whole_s = np.random.default_rng(4).lognormal(1.0, 1.2, 3000)
    return [make_call(duration_s=float(min(each, at_s + 0.01)), at_s=2.0 * n) for n, each in enumerate(whole_s)]


def test_a_hidden_deadline_answers_nothing_in_time() -> None:
    rows = hidden_timer()
    within = WITHIN.replace("threshold_s = 2.0", "threshold_s = 30.0")
    report = from_calls(make_calls(rows)).slo(parse_config(within + SUCCESS + GOODPUT))
    found = {each.objective.name: each for each in report.standings}
    (pile,) = report.piles
    cut = sum(pile.low_s < row["duration_s"] <= pile.high_s for row in rows)
    assert (pile.value_s, pile.calls) == (15.0, cut)
    for name in ("fast", "good"):
        counts = found[name].counts
        assert (counts.kept, counts.broken, counts.unknown) == (3000 - cut, 0, cut)
    assert (found["fast"].status, found["works"].counts.kept) == ("met", 3000), "how they were told to end is not rewritten"
    attained = found["fast"].attained
    assert attained is not None
    assert attained.low < 0.95
    assert report.to_dict()["hidden_deadlines"][0]["likely"].startswith("the default of an Envoy route")


def test_a_hidden_deadline_at_the_threshold_breaks_it() -> None:
    rows = hidden_timer()
    late = standing(rows, WITHIN.replace("threshold_s = 2.0", "threshold_s = 15.0"))
    assert late.counts.broken == sum(row["duration_s"] > 15.0 for row in rows)
    assert late.counts.unknown < 10, "those that ended by themselves just before it cannot be told apart"


def test_only_objectives_on_totals_look_for_hidden_deadlines() -> None:
    report = from_calls(make_calls(hidden_timer())).slo(parse_config(SUCCESS))
    assert report.piles == ()
    assert "hidden_deadlines" not in report.to_dict()


def test_each_value_costs_no_reading_of_its_own() -> None:
    def scans(tenants: int) -> int:
        store, asked = from_calls(make_calls([make_call(tenant=f"{n % tenants}", at_s=n) for n in range(60)])), []
        counting = replace(store, scan=lambda since, until: (asked.append(since), store.scan(since, until))[1])
        assert len(counting.slo(parse_config(WITHIN), each=["tenant"]).standings) == tenants
        return len(asked)

    assert scans(2) == scans(60)


@pytest.mark.no_cover
def test_an_attained_share_is_held_where_failures_come_in_bursts() -> None:
    """A minute in ten is bad and fails 40 % of its calls, 1 % fail else: the true share that keeps it is 95.1 %."""
    held, blind = 0, 0
    start = pl.select(pl.datetime_range(EPOCH, EPOCH + timedelta(minutes=119), "1m").alias("start"))
    for seed in range(400):
        rng = np.random.default_rng(seed)
        broken = rng.binomial(20, np.where(rng.random(120) < 0.1, 0.4, 0.01))
        calls = pl.DataFrame({"kept": 20 - broken, "broken": broken, "unknown": 0, "others": 0})
        weights = calls.select(pl.exclude("others").cast(pl.Float64).name.suffix("_weight"))
        minutes = pl.concat([start, calls, weights], how="horizontal").with_columns(weight_sq=pl.lit(20.0))
        counts = Counts.of(minutes).careful(minutes)
        attained, plain = counts.attained(None, 0.95), wilson(counts.kept, counts.calls)
        held += attained.low <= 0.951 <= attained.high
        blind += plain.low <= 0.951 <= plain.high
    assert 0.93 <= held / 400 <= 0.97
    assert blind / 400 < 0.75
