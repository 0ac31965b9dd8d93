"""The planned load: reproducible, bursty, and such that the cap of the start cuts a telling share of it."""

from collections import Counter
from dataclasses import replace

from meshslo.demo.load_plan import BURST_EVERY_S, BURST_LASTS_S, MAX_TOKENS, TENANTS, Ask, plan_load
from meshslo.demo.services.generator import MODELS
from meshslo.demo.settings import QUICK, DemoSettings

FULL = DemoSettings()


def least_s(ask: Ask) -> float:
    """Seconds an answer takes on an idle, healthy chain, retrieval left out."""
    model = MODELS[ask.model]
    return model.prefill_s_per_token * ask.prompt_tokens + model.token_s * ask.answer_tokens


def test_the_same_seed_gives_the_same_load_and_another_seed_another() -> None:
    assert plan_load(FULL) == plan_load(FULL)
    assert plan_load(FULL) != plan_load(replace(FULL, seed=8))


def test_there_are_as_many_requests_as_asked_for_within_the_time() -> None:
    plan = plan_load(QUICK)
    assert len(plan) == QUICK.requests
    assert [ask.at_s for ask in plan] == sorted(ask.at_s for ask in plan)
    assert plan[0].at_s >= 0
    assert plan[-1].at_s <= QUICK.seconds


def test_requests_come_thicker_in_bursts() -> None:
    bursting = sum(ask.at_s % BURST_EVERY_S < BURST_LASTS_S for ask in plan_load(FULL))
    assert bursting / FULL.requests > 1.5 * BURST_LASTS_S / BURST_EVERY_S


def test_every_model_has_the_calls_that_a_promise_of_one_in_a_hundred_needs() -> None:
    calls = Counter(ask.model for ask in plan_load(FULL) if ask.leaves_s is None and not ask.poison)
    assert set(calls) == set(MODELS) == set(MAX_TOKENS)
    assert min(calls.values()) >= 299


def test_the_shortened_load_has_the_calls_that_a_promise_of_one_in_twenty_needs() -> None:
    calls = Counter(ask.model for ask in plan_load(QUICK) if ask.leaves_s is None and not ask.poison)
    assert min(calls.values()) >= 59


def test_the_cap_of_the_start_cuts_a_telling_share_of_the_streams() -> None:
    streams = [ask for ask in plan_load(FULL) if ask.streaming]
    assert 0.05 <= sum(least_s(ask) > 3.0 for ask in streams) / len(streams) <= 0.15
    assert max(least_s(ask) for ask in streams) < FULL.deadline_s / 2


def test_tenants_differ_in_prompt_and_answer_lengths() -> None:
    plan = plan_load(FULL)
    for measure in ("prompt_tokens", "answer_tokens"):
        medians = [
            sorted(getattr(ask, measure) for ask in plan if ask.tenant == tenant.name)[
                sum(a.tenant == tenant.name for a in plan) // 2
            ]
            for tenant in TENANTS
        ]
        assert max(medians) > 1.5 * min(medians)


def test_no_answer_is_longer_than_its_model_allows() -> None:
    assert all(ask.answer_tokens <= MAX_TOKENS[ask.model] for ask in plan_load(FULL))
