"""What a simulation's figures rest on and leave open, in sentences."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from meshslo.analysis.recommend.words import count, seconds

from .engine import Rules
from .fates import FEWEST_SECONDS
from .inferred import targets
from .kinds import Kind
from .policy import Policy
from .replay import Replay

WORTH_SAYING: Final = 0.001


def notes(replay: Replay, policies: Sequence[Policy]) -> Iterator[str]:
    """The sentences that hold for these calls and policies, one for each hop that they concern."""
    if replay.ignored:
        yield f"{count(replay.ignored)} calls whose duration nobody saw are left out"
    yield from _beyond(replay, policies)
    yield from _unknown_gain(replay, policies)
    yield from _unseen(replay, policies)
    budgets = sorted(
        {t.callee for t, p in zip(targets(replay), policies, strict=True) if p.retries and np.isfinite(p.limit.least)}
    )
    if budgets:
        yield f"one proxy in front of {', '.join(budgets)} is assumed: retry budgets and breakers are each proxy's own"


def _beyond(replay: Replay, policies: Sequence[Policy]) -> Iterator[str]:
    """Hops whose longest call was cut, where a longer timer is proposed."""
    attempts = replay.attempts
    cut = (attempts.kind == Kind.CUT) | (attempts.kind == Kind.LEFT)
    total_s = np.array([policy.total_s for policy in policies])[attempts.group]
    hops = replay.groups["hop"].to_numpy()
    for hop in sorted(set(hops)):
        here = (hops == hop)[attempts.group]
        ended_s = attempts.duration_s[here & ~cut].max(initial=0.0)
        hidden = here & cut & (attempts.duration_s >= ended_s) & (total_s > attempts.duration_s)
        if hidden.sum() > WORTH_SAYING * here.sum():
            yield (
                f"{hop}: {count(hidden.sum())} of {count(here.sum())} calls were cut later than any was seen to end "
                f"({seconds(float(ended_s))}); of a longer timer it is known only that it cuts between none and all of them"
            )


def _unknown_gain(replay: Replay, policies: Sequence[Policy]) -> Iterator[str]:
    """Hops that would repeat calls, of which few second attempts were seen."""
    attempts = replay.attempts
    second = np.bincount(attempts.group[attempts.number > 1], minlength=len(policies))
    repeated = Rules(policies).repeats(attempts.group, attempts.kind, attempts.code, attempts.grpc)
    repeated = np.bincount(attempts.group[repeated], minlength=len(policies)) > 0
    hops = {t.hop for n, t in enumerate(targets(replay)) if policies[n].retries and repeated[n] and second[n] < FEWEST_SECONDS}
    for hop in sorted(hops):
        yield (
            f"{hop}: too few second attempts were seen to say what repeating gains; the bounds are that it ends well as often "
            "as a first one, and never"
        )


def _unseen(replay: Replay, policies: Sequence[Policy]) -> Iterator[str]:
    """Timers that calls do not show what they would see."""
    attempts = replay.attempts
    for hop in sorted(set(replay.groups["hop"])):
        own = [n for n, target in enumerate(targets(replay)) if target.hop == hop]
        here = np.isin(attempts.group, own)
        if any(np.isfinite(policies[n].idle_s) for n in own) and np.isnan(attempts.silence_s[here]).all():
            yield f"{hop}: nobody saw gaps between chunks, so the idle timer is judged by the wait for headers alone"
        if any(np.isfinite(policies[n].per_try_s) for n in own) and np.isnan(attempts.headers_s[here]).all():
            yield f"{hop}: nobody saw response headers, so the timer of one try is judged by the whole call"
