import numpy as np
import polars as pl
import pytest

from meshslo.analysis.config import Config, Model, Objectives, parse_config
from meshslo.analysis.policy.deployed import Deployed, Placed, RouteRule
from meshslo.analysis.policy.durations import round_up
from meshslo.analysis.recommend import Recommendation, Recommendations, observe, recommend
from tests.support import token_streams
from tests.support.calls import make_call, make_calls
from tests.support.scenes import CONFIG, MAX_TOKENS, PER_CHUNK_S, chain_calls, plain_calls, requests

ONE_PERCENT = parse_config("[objectives]\nfalse_timeout_ratio = 0.01")


def advise(calls: pl.DataFrame, config: Config = ONE_PERCENT, deployed: Deployed | None = None) -> Recommendations:
    return recommend(observe(calls.lazy(), config, deployed), ["timeouts"])


def find(advice: Recommendations, setting: str, hop: str = "gateway>generator", model: str | None = None) -> Recommendation:
    found = [i for i in advice.items if (i.setting, i.target.hop, i.target.model) == (setting, hop, model)]
    assert len(found) == 1, [(i.setting, str(i.target)) for i in advice.items]
    return found[0]


def value(item: Recommendation) -> float:
    assert item.proposed is not None, item
    return float(item.proposed.value)


def deployed(callee: str = "generator", **values: float) -> Deployed:
    settings = {name: Placed(value, "s", "vs.yaml:17") for name, value in values.items()}
    return Deployed((RouteRule(callee, frozenset(), settings=settings),))


# A value from what was seen


def test_the_value_is_the_upper_bound_of_the_budgets_quantile_rounded_up() -> None:
    durations = np.random.default_rng(5).exponential(1.0, 1000)
    item = find(advise(plain_calls(durations)), "total_timeout")
    # One-sided 95 % bound of p99 at n = 1000: the 996th smallest (binomial); half a per cent for the histogram bucket.
    bound = np.sort(durations)[995]
    assert bound <= value(item) <= round_up(bound * 1.011)
    assert item.evidence.estimate == pytest.approx(np.sort(durations)[989], rel=0.011)
    assert item.evidence.high is not None
    assert round_up(item.evidence.high) == value(item)


def test_the_promise_holds_on_new_calls_in_nineteen_of_twenty_samples() -> None:
    """Each sample is a route of one hop."""
    drawn = np.random.default_rng(0).lognormal(0, 0.9, (60, 500))
    routes = pl.DataFrame({"route": [f"/r{n}" for n in range(60)]})
    calls = routes.join(plain_calls(drawn[0]).drop("route"), how="cross").with_columns(duration_s=pl.Series(drawn.ravel()))
    values = [value(item) for item in advise(calls).items if item.setting == "total_timeout"]
    # The true share beyond each value, from the distribution itself.
    broken = sum(1 - _lognormal_cdf(s, 0.9) > 0.01 for s in values)
    assert len(values) == 60
    assert broken <= 7  # 60 x 5 % = 3; 8 or more would happen once in 70 at most


def _lognormal_cdf(t_s: float, sigma: float) -> float:
    from scipy.stats import lognorm

    return float(lognorm.cdf(t_s, sigma))


def test_a_stricter_budget_of_one_hop_counts_there_only() -> None:
    config = parse_config('[objectives]\nfalse_timeout_ratio = 0.05\n[hops."gateway>generator"]\nfalse_timeout_ratio = 0.01')
    durations = np.random.default_rng(5).exponential(1.0, 1000)
    calls = pl.concat([plain_calls(durations), plain_calls(durations, callee="retriever")])
    strict, loose = (find(advise(calls, config), "total_timeout", f"gateway>{c}") for c in ("generator", "retriever"))
    assert value(strict) > value(loose) * 1.2


@pytest.mark.parametrize(("count", "more"), [(10, 289), (298, 1)])
def test_too_few_calls_say_how_many_more_it_takes(count: int, more: int) -> None:
    item = find(advise(plain_calls([1.0] * count)), "total_timeout")
    assert (item.status, item.proposed) == ("not_identifiable", None)
    assert f"{more} more" in item.reason


def test_299_calls_show_one_per_cent() -> None:
    item = find(advise(plain_calls(np.linspace(0.5, 2.0, 299))), "total_timeout")
    assert item.status == "change"
    assert 2.0 <= value(item) <= 2.1


def test_errors_are_no_latency_of_success() -> None:
    slow_errors = plain_calls(np.linspace(20.0, 40.0, 50), outcome="error")
    item = find(advise(pl.concat([plain_calls([1.0] * 400), slow_errors])), "total_timeout")
    assert value(item) <= 1.1


# What is deployed now


def test_a_value_within_the_noise_stays() -> None:
    calls = plain_calls(np.random.default_rng(5).exponential(1.0, 1000))
    wanted = find(advise(calls), "total_timeout")
    for now_s in (value(wanted), value(wanted) * 1.08, wanted.evidence.estimate):
        kept = find(advise(calls, deployed=deployed(total_timeout=now_s)), "total_timeout")
        assert (kept.status, value(kept)) == ("keep", now_s)
        assert kept.current is not None
        assert kept.current.source == "vs.yaml:17"


@pytest.mark.parametrize(("now_s", "what"), [(2.0, "cuts calls that would have ended well"), (300.0, "holds a dead call")])
def test_a_value_that_the_data_contradicts_changes(now_s: float, what: str) -> None:
    calls = plain_calls(np.random.default_rng(5).exponential(1.0, 1000))
    item = find(advise(calls, deployed=deployed(total_timeout=now_s)), "total_timeout")
    assert item.status == "change"
    assert what in item.reason
    rate = item.effect["false_timeout_rate"]
    assert rate.before == pytest.approx(np.exp(-now_s), abs=0.02)
    assert rate.after is not None
    assert rate.after <= 0.01


def test_a_pile_of_endings_is_a_timer() -> None:
    cut = plain_calls(np.random.default_rng(1).uniform(3.0, 3.01, 60), outcome="timeout")
    item = find(advise(pl.concat([plain_calls([1.0] * 400), cut])), "total_timeout")
    assert item.current is not None
    assert (item.current.value, item.current.source) == (3.0, "inferred: 60 of 60 cut calls ended at 3 s")


def test_scattered_endings_are_no_timer() -> None:
    cut = plain_calls(np.linspace(0.5, 5, 60), outcome="timeout")
    assert find(advise(pl.concat([plain_calls([1.0] * 400), cut])), "total_timeout").current is None


# Answers of max_tokens


@pytest.mark.parametrize("cap_s", [np.inf, 10.0])
def test_answers_of_max_tokens_are_told_of_or_covered(cap_s: float) -> None:
    """One in 150 true answers has 1,000 tokens or more; under a timer none is seen."""
    following = Config(
        objectives=Objectives(false_timeout_ratio=0.01, total_follows="max_tokens"), models={"m": Model(max_tokens=1000)}
    )
    telling = following.model_copy(update={"objectives": Objectives(false_timeout_ratio=0.01)})
    calls = token_streams.streams(1, cap_s=cap_s)
    tells, covers = (find(advise(calls, config), "total_timeout") for config in (telling, following))
    # 20 ms a token, 32 of the slowest of a hundred streams.
    assert 32.0 < value(covers) < 45.0
    said = f"answers of max_tokens = 1,000 of m take up to {value(covers):.2g} s"
    if cap_s == np.inf:
        assert f"{said}, and may be cut" in tells.reason
        assert f"but {said}" in covers.reason
        assert value(tells) < value(covers)
    else:
        assert (tells.status, covers.status) == ("explore", "explore")


def test_what_answers_of_max_tokens_take_is_not_made_up() -> None:
    following = Config(
        objectives=Objectives(false_timeout_ratio=0.01, total_follows="max_tokens"), models={"m": Model(max_tokens=1000)}
    )
    item = find(advise(token_streams.streams(1, n=400), following), "total_timeout")
    assert "what answers of max_tokens = 1,000 of m take is not known: " in item.reason


# A cap that hides the tail


def test_a_cap_is_explored_up_to_the_longest_answer_the_model_may_give() -> None:
    item = find(advise(chain_calls(cap_s=3.0), CONFIG), "total_timeout", model="large")
    assert item.status == "explore"
    assert "max_tokens = 256" in item.reason
    assert "299 calls under it" in item.reason
    # First token + 256 chunks of 30 ms, both at their upper bounds: no true stream is longer, and none twice as long.
    longest = max(request.stream_s for request in requests(800, cap_s=None) if request.model == "large")
    assert longest <= value(item) <= 2 * (1.0 + MAX_TOKENS * PER_CHUNK_S["large"])
    assert item.effect["false_timeout_rate"].after is None
    assert item.effect["longest_hold_s"].after == value(item)


def test_a_few_streams_bound_what_to_look_under() -> None:
    few = advise(
        chain_calls(100, cap_s=3.0), parse_config("[objectives]\nfalse_timeout_ratio = 0.05\n[models.large]\nmax_tokens = 256")
    )
    item = find(few, "total_timeout", model="large")
    assert item.status == "explore"
    assert "(the slowest of 50 streams)" in item.reason
    assert value(item) >= max(r.stream_s for r in requests(100, cap_s=None) if r.model == "large")


def test_the_next_run_tightens_what_was_explored() -> None:
    first = find(advise(chain_calls(cap_s=3.0), CONFIG), "total_timeout", model="large")
    now = deployed(total_timeout=value(first))
    second = find(advise(chain_calls(cap_s=None, seed=2), CONFIG, now), "total_timeout", model="large")
    truth = np.quantile(
        [request.stream_s for request in requests(20_000, cap_s=None, seed=9) if request.model == "large"], 0.99
    )
    assert second.status == "change"
    assert truth <= value(second) < value(first)


def test_what_was_explored_stays_until_calls_show_the_tail() -> None:
    capped = chain_calls(cap_s=3.0)
    first = find(advise(capped, CONFIG), "total_timeout", model="large")
    again = find(advise(capped, CONFIG, deployed(total_timeout=value(first))), "total_timeout", model="large")
    assert (again.status, value(again)) == ("keep", value(first))


def test_without_max_tokens_the_longest_answer_seen_bounds_it() -> None:
    whole = plain_calls([20.0], callee="batch", model="large", output_tokens=900)
    item = find(advise(pl.concat([chain_calls(cap_s=3.0), whole])), "total_timeout", model="large")
    assert item.status == "explore"
    assert "the longest answer seen, 900 chunks or tokens" in item.reason
    assert value(item) > 900 * PER_CHUNK_S["large"]


def test_answers_that_were_all_cut_bound_nothing_so_the_timer_doubles() -> None:
    item = find(advise(chain_calls(cap_s=3.0)), "total_timeout", model="large")
    assert item.status == "explore"
    assert value(item) == pytest.approx(6.0, rel=0.03)
    assert "no more than the cap lets through, so it is doubled" in item.reason


def test_calls_without_chunks_are_explored_by_doubling() -> None:
    cut = plain_calls([3.0] * 60, outcome="timeout")
    item = find(advise(pl.concat([plain_calls([1.0] * 400), cut])), "total_timeout")
    assert (item.status, value(item)) == ("explore", 6.0)


def test_doubled_once_it_stays_though_calls_end_some_milliseconds_after_their_timer() -> None:
    cut = plain_calls(np.linspace(3.0, 3.1, 60), outcome="timeout")
    calls = pl.concat([plain_calls([1.0] * 400), cut])
    first = find(advise(calls, deployed=deployed(total_timeout=3.0)), "total_timeout")
    again = find(advise(calls, deployed=deployed(total_timeout=value(first))), "total_timeout")
    assert (first.status, again.status, value(again)) == ("explore", "keep", 6.0)


def test_a_callers_timer_hides_the_tail_of_the_hops_inside_too() -> None:
    item = find(advise(chain_calls(cap_s=3.0), CONFIG), "total_timeout", model="large")
    assert item.reason.startswith("timers of its callers cut ")
    assert item.current is None


def test_exploring_stops_at_the_users_deadline() -> None:
    config = parse_config("[objectives]\nfalse_timeout_ratio = 0.01\n[chain]\ndeadline_s = 5\n[models.large]\nmax_tokens = 256")
    item = find(advise(chain_calls(cap_s=3.0), config), "total_timeout", model="large")
    assert (item.status, value(item)) == ("explore", 5.0)
    assert "the deadline allows 5 s at most" in item.reason


def test_a_timer_at_the_deadline_is_not_explored_beyond_it() -> None:
    config = parse_config("[objectives]\nfalse_timeout_ratio = 0.01\n[chain]\ndeadline_s = 3")
    cut = plain_calls([3.0] * 60, outcome="timeout")
    item = find(advise(pl.concat([plain_calls([1.0] * 400), cut]), config), "total_timeout")
    assert item.status == "keep"
    assert "the deadline of 3 s allows no more" in item.reason


def test_a_deadline_that_cannot_hold_is_said_and_not_squeezed_in() -> None:
    config = parse_config("[objectives]\nfalse_timeout_ratio = 0.01\n[chain]\ndeadline_s = 2")
    item = find(advise(plain_calls(np.linspace(0.5, 4.0, 500)), config), "total_timeout")
    assert value(item) >= 3.95
    assert "the deadline of 2 s cannot hold" in item.reason


# Streams


def streams(count: int = 400, **columns: float) -> pl.DataFrame:
    seen = {"duration_s": 5.0, "first_byte_s": 0.4, "first_token_s": 0.401, "max_gap_s": 0.2, "chunks": 50} | columns
    return make_calls([make_call(vantage="client", at_s=n, **seen) for n in range(count)])


def test_headers_that_announce_the_first_token_let_a_try_be_timed() -> None:
    advice = advise(streams())
    assert find(advice, "first_token_timeout").status == "change"
    assert 0.4 <= value(find(advice, "per_try_timeout")) <= 0.42


def test_early_headers_move_the_guard_of_the_first_token_to_the_idle_timer() -> None:
    advice = advise(streams(first_byte_s=0.002, first_token_s=2.0))
    first, idle = find(advice, "first_token_timeout"), find(advice, "idle_gap_timeout")
    assert first.status == "not_expressible"
    assert "the idle timer guards it instead" in first.reason
    assert value(idle) >= 1.998
    assert "from early headers to the first token" in idle.reason
    assert not [item for item in advice.items if item.setting == "per_try_timeout"]


def test_headers_of_answers_that_come_whole_hide_no_early_ones() -> None:
    whole = plain_calls([4.0] * 800)
    advice = advise(pl.concat([streams(first_byte_s=0.002, first_token_s=2.0).with_columns(streaming=True), whole]))
    assert find(advice, "first_token_timeout").status == "not_expressible"


def test_an_idle_timer_spares_answers_that_are_not_streamed() -> None:
    at_once = plain_calls([4.0] * 100)
    item = find(advise(pl.concat([streams(), at_once])), "idle_gap_timeout")
    assert value(item) >= 4.0


def test_answers_that_come_whole_do_not_slow_the_first_token() -> None:
    whole = plain_calls([4.0] * 400, first_token_s=4.0)
    first, total = (find(advise(pl.concat([streams(), whole])), f"{name}_timeout") for name in ("first_token", "total"))
    assert value(first) == value(find(advise(streams()), "first_token_timeout"))
    assert (first.evidence.calls, total.evidence.calls) == (400, 800)


def test_hops_whose_answers_come_whole_get_timers_of_whole_calls_and_tries_only() -> None:
    whole = plain_calls([1.0] * 400, first_token_s=0.9, max_gap_s=0.1, chunks=2)
    advice = advise(whole, deployed=deployed(per_try_timeout=3.0))
    assert {item.setting for item in advice.items} == {"total_timeout", "per_try_timeout"}


def test_hops_that_never_stream_get_no_idle_timer() -> None:
    assert not [item for item in advise(plain_calls([1.0] * 400)).items if item.setting == "idle_gap_timeout"]


def test_the_gap_at_which_a_stream_was_cut_counts_as_longer_than_seen() -> None:
    hung = make_calls(
        [
            make_call(vantage="client", at_s=n, outcome="timeout", response_flags="SI", duration_s=7.0, first_byte_s=0.4,
                      first_token_s=0.4, max_gap_s=0.2, open_gap_s=2.0, chunks=9)
            for n in range(40)
        ]
    )  # fmt: skip
    item = find(advise(pl.concat([streams(), hung])), "idle_gap_timeout")
    assert (item.status, value(item)) == ("explore", 4.0)
    assert item.current is not None
    assert item.current.value == 2.0


# Models


def test_models_that_differ_get_their_own_values() -> None:
    advice = advise(chain_calls(), CONFIG)
    small, large = (find(advice, "total_timeout", model=model) for model in ("small", "large"))
    assert value(small) < value(large) / 2
    assert value(find(advice, "total_timeout")) >= value(large)


def test_models_that_do_not_differ_share_one() -> None:
    rng = np.random.default_rng(2)
    calls = pl.concat([plain_calls(rng.exponential(1.0, 400), model=model) for model in ("a", "b")])
    assert [item.target.model for item in advise(calls).items if item.setting == "total_timeout"] == [None]


# The chain


def test_a_caller_waits_at_least_as_long_as_its_callee_and_its_own_work() -> None:
    advice = advise(chain_calls(), CONFIG)
    for model in (None, "small", "large"):
        inner = find(advice, "total_timeout", "gateway>generator", model)
        outer = find(advice, "total_timeout", "ingress>gateway", model)
        own = [r.retrieval_s for r in requests(800, cap_s=None) if model in (None, r.model)]
        assert value(outer) >= value(inner) + np.quantile(own, 0.99)


def test_coherence_names_the_hop_that_it_waits_for() -> None:
    item = find(advise(chain_calls(), CONFIG), "total_timeout", "ingress>gateway", "large")
    assert "it waits up to" in item.reason
    assert "gateway>generator /v1/chat" in item.reason


def test_a_caller_that_tries_twice_needs_time_for_both() -> None:
    rows = []
    for n in range(400):
        shared = {"trace_id": (n + 1).to_bytes(16, "big"), "at_s": n, "streaming": False, "chunks": 1}
        rows.append(make_call(caller="ingress", callee="gateway", vantage="server", duration_s=2.5, route="/ask", **shared))
        for attempt, outcome in ((1, "error"), (2, "ok")):
            rows.append(make_call(vantage="client", duration_s=1.0, attempt=attempt, outcome=outcome, **shared))
    advice = advise(make_calls(rows))
    inner, outer = find(advice, "total_timeout"), find(advice, "total_timeout", "ingress>gateway")
    assert "x 2 attempts" in outer.reason
    assert value(outer) >= 2 * value(inner) + 1.5


def test_the_outermost_vantage_is_asked() -> None:
    both = pl.concat([plain_calls([2.0] * 400, vantage="client"), plain_calls([1.0] * 400, vantage="server")])
    assert value(find(advise(both), "total_timeout")) >= 2.0


# What other timers hide


def test_a_504_passed_on_is_no_answer_of_this_hop() -> None:
    passed_on = plain_calls([1.5] * 40, outcome="timeout", status_code=504)
    advice = advise(pl.concat([plain_calls(np.linspace(0.1, 1.0, 400)), passed_on]), deployed=deployed(retry_attempts=0))
    item = find(advice, "total_timeout")
    assert item.status == "not_identifiable"
    assert "explore" not in {other.status for other in advice.items}


def test_a_callers_guards_wait_while_a_hop_below_is_explored() -> None:
    advice = advise(chain_calls(cap_s=3.0), CONFIG)
    for setting in ("first_token_timeout", "per_try_timeout"):
        item = find(advice, setting, "ingress>gateway")
        assert (item.status, item.proposed) == ("not_identifiable", None)
        assert "gateway>generator /v1/chat" in item.reason
        assert "run again under the new one" in item.reason


def test_hops_that_never_stream_get_no_first_token_timer() -> None:
    single = plain_calls(np.linspace(0.1, 1.0, 400), first_token_s=0.5)
    assert [item.setting for item in advise(single).items] == ["total_timeout"]


def test_errors_that_come_fast_do_not_shorten_the_wait_for_headers() -> None:
    fast = make_calls(
        [
            make_call(vantage="client", at_s=n, outcome="error", status_code=503, duration_s=0.01, first_byte_s=0.01)
            for n in range(5000)
        ]
    )
    assert value(find(advise(pl.concat([streams(), fast])), "per_try_timeout")) >= 0.4


def test_a_limit_of_a_try_is_not_explored_where_none_is_set() -> None:
    cut = make_calls(
        [make_call(vantage="client", at_s=n, outcome="timeout", response_flags="UT", duration_s=3.0) for n in range(60)]
    )
    item = find(advise(pl.concat([streams(), cut])), "per_try_timeout")
    assert item.status == "not_identifiable"


# A budget and the timers that share it

SHARED = parse_config('[objectives]\nfalse_timeout_ratio = 0.03\nbudget_per = "call"')


def test_timers_of_one_call_say_what_they_may_cut_together() -> None:
    advice = advise(chain_calls(800), parse_config("[objectives]\nfalse_timeout_ratio = 0.03"))
    for setting in ("total_timeout", "idle_gap_timeout", "per_try_timeout"):
        assert find(advice, setting).reason.endswith("the 3 timers that can cut such a call may cut 9 % together")
    assert "together" not in find(advice, "total_timeout", hop="gateway>retriever").reason


def test_timers_of_one_call_can_share_its_budget() -> None:
    advice = advise(chain_calls(800), SHARED)
    total = find(advice, "total_timeout")
    assert total.reason.startswith("99 % of calls end within")
    assert total.reason.endswith("it has one of 3 parts of the 3 % that all timers of a call may cut")
    assert find(advice, "total_timeout", hop="gateway>retriever").reason.startswith("97 % of calls end within")
    alone = advise(chain_calls(800), parse_config("[objectives]\nfalse_timeout_ratio = 0.01"))
    assert value(total) == value(find(alone, "total_timeout"))


def test_together_they_cut_no_more_than_the_shared_budget() -> None:
    """Judged on other calls of the same kind: each whole call against all three values."""
    advice, calls = advise(chain_calls(800), SHARED), chain_calls(3000, seed=2).filter(hop="gateway>generator")
    limits = {name: value(find(advice, name)) for name in ("total_timeout", "idle_gap_timeout", "per_try_timeout")}
    silence = pl.max_horizontal("max_gap_s", pl.col("first_token_s") - pl.col("first_byte_s"), "first_byte_s")
    cut = (
        (pl.col("duration_s") > limits["total_timeout"])
        | (silence > limits["idle_gap_timeout"])
        | (pl.col("first_byte_s") > limits["per_try_timeout"])
    )
    assert calls.select(cut.mean()).item() <= 0.03
