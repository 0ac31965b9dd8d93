"""What cut calls would have become: as the survival curve of their group says, and no further than it goes."""

import numpy as np
import polars as pl
import pytest

from meshslo.analysis.simulate.fates import FEWEST_SECONDS, Again, Fates, Natural, tokens_made
from meshslo.analysis.simulate.kinds import Kind
from meshslo.analysis.simulate.reading import read
from meshslo.analysis.simulate.replay import Replay
from tests.support.calls import make_call, make_calls


def replayed(durations_s: np.ndarray, cut_s: np.ndarray, **columns: object) -> Replay:
    """Calls of these true durations, each cut after `cut_s` where it would have lasted longer."""
    rows = [
        make_call(vantage="client", duration_s=min(true, cut), outcome="ok" if true <= cut else "timeout", at_s=n, **columns)
        for n, (true, cut) in enumerate(zip(durations_s.tolist(), cut_s.tolist(), strict=True))
    ]
    return read(make_calls(rows).lazy())


def drawn(replay: Replay, seed: int = 0, *, soonest: bool = True) -> Natural:
    return Fates(replay).draw(np.random.default_rng(seed), soonest=soonest)


def test_calls_that_ended_stay_as_they_were() -> None:
    replay = replayed(np.array([1.0, 2.0, 3.0]), np.full(3, np.inf))
    natural = drawn(replay)
    assert sorted(natural.duration_s.tolist()) == [1.0, 2.0, 3.0]
    assert not Fates(replay).cut.any()


def test_a_cut_call_lasts_longer_than_it_was_seen_to() -> None:
    rng = np.random.default_rng(3)
    replay = replayed(rng.exponential(1.0, 500), rng.uniform(0.2, 3.0, 500))
    cut = Fates(replay).cut
    for soonest in (True, False):
        assert (drawn(replay, soonest=soonest).duration_s[cut] >= replay.attempts.duration_s[cut]).all()


def test_the_draws_follow_the_truth_that_random_cuts_hide() -> None:
    rng = np.random.default_rng(5)
    truth = rng.lognormal(0.0, 0.7, 4000)
    replay = replayed(truth, rng.exponential(2.0, 4000))
    found = np.concatenate([drawn(replay, seed).duration_s for seed in range(5)])
    for limit_s in (0.5, 1.0, 2.0, 3.0):
        assert (found > limit_s).mean() == pytest.approx((truth > limit_s).mean(), abs=0.02)


def test_beyond_the_last_call_that_ended_both_ends_of_what_may_be_are_drawn() -> None:
    rng = np.random.default_rng(5)
    replay = replayed(rng.lognormal(0.0, 0.7, 400), np.full(400, 1.5))
    cut = Fates(replay).cut
    soonest, latest = (drawn(replay, soonest=soonest).duration_s[cut] for soonest in (True, False))
    assert (soonest < 1.6).all()
    assert np.isinf(latest).all()


def test_models_are_not_each_others_tail() -> None:
    rows = [make_call(vantage="client", duration_s=d, model="slow", at_s=n) for n, d in enumerate(np.linspace(5, 9, 50))]
    rows += [make_call(vantage="client", duration_s=1.0, model="fast", outcome="timeout", at_s=n) for n in range(50)]
    replay = read(make_calls(rows).lazy())
    assert np.isinf(drawn(replay, soonest=False).duration_s[Fates(replay).cut]).all()


def test_an_answer_goes_on_at_the_pace_it_had() -> None:
    rows = [make_call(vantage="client", duration_s=8.0, first_token_s=1.0, output_tokens=700, at_s=n) for n in range(40)]
    rows.append(make_call(vantage="client", duration_s=3.0, first_token_s=1.0, output_tokens=50, outcome="timeout"))
    replay = read(make_calls(rows).lazy())
    natural, cut = drawn(replay), np.flatnonzero(Fates(replay).cut)
    assert tokens_made(natural, cut, np.array([3.0])).tolist() == [50.0]
    assert tokens_made(natural, cut, np.array([9.0])).tolist() == [175.0]  # 7 s at 25 a second


def again(calls: pl.DataFrame, *, hopeful: bool) -> list[int]:
    """The kinds of what follows a failed first attempt of which no second was seen."""
    replay = read(calls.lazy())
    alone = np.flatnonzero((replay.attempts.kind == Kind.RESET) & (replay.number_of_attempts[replay.attempts.request] == 1))
    following = Again(replay, hopeful).after(np.repeat(alone, 500), np.random.default_rng(1))
    return replay.attempts.kind[following].tolist()


def attempts(trace: int, *outcomes: str) -> list[dict[str, object]]:
    return [
        make_call(
            vantage="proxy_out", trace_id=trace.to_bytes(16, "big"), parent_span_id=b"p", outcome=outcome, attempt=n, at_s=n
        )
        for n, outcome in enumerate(outcomes, 1)
    ]


def test_a_repetition_ends_as_second_attempts_were_seen_to() -> None:
    rows = [row for n in range(FEWEST_SECONDS) for row in attempts(n + 2, "error", "ok" if n % 3 else "error")]
    kinds = again(make_calls([*rows, *attempts(1, "error")]), hopeful=False)
    assert np.mean([kind == Kind.OK for kind in kinds]) == pytest.approx(2 / 3, abs=0.06)


def test_without_second_attempts_it_ends_as_any_first_or_as_the_one_before() -> None:
    rows = [row for n in range(60) for row in attempts(n + 2, "ok")]
    calls = make_calls([*rows, *attempts(1, "error")])
    assert np.mean([kind == Kind.OK for kind in again(calls, hopeful=True)]) == pytest.approx(60 / 61, abs=0.03)
    assert set(again(calls, hopeful=False)) == {Kind.RESET}
