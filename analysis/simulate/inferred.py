"""What is at work now where no manifest says it: timers that calls pile up at, and repetitions that were seen."""

from collections.abc import Iterator, Mapping

import numpy as np

from meshslo.analysis.recommend import Observed
from meshslo.analysis.recommend.current import Timers
from meshslo.analysis.recommend.recommendation import Target

from .kinds import Ints, Kind, Timer
from .policy import Settings, Value
from .replay import Replay


def targets(replay: Replay) -> list[Target]:
    """The target of each group."""
    return [Target(hop, route, model) for _, hop, route, model in replay.groups.iter_rows()]


def inferred(replay: Replay, observed: Observed) -> Mapping[Target, Settings]:
    """Settings of each target, as far as calls show them."""
    timers, found = Timers(observed), {}
    for group, target in enumerate(targets(replay)):
        settings: dict[str, Value] = {}
        for name in ("total_timeout", "idle_gap_timeout"):
            current = timers.current(name, target)
            if current is not None:
                settings[name] = current.value
        found[target] = {**settings, **dict(_retries(replay, np.flatnonzero(replay.attempts.group == group)))}
    return found


def _retries(replay: Replay, rows: Ints) -> Iterator[tuple[str, Value]]:
    """How often calls were repeated, after which endings, and after how long a try without headers."""
    attempts = replay.attempts
    most = int(attempts.number[rows].max(initial=1))
    if most == 1:
        return
    repeated = rows[attempts.number[rows] < replay.number_of_attempts[attempts.request[rows]]]
    kinds = attempts.kind[repeated]
    words = {"reset"} if np.isin(kinds, (Kind.RESET, Kind.CUT)).any() else set()
    words |= {"connect-failure"} if (kinds == Kind.CONNECT).any() else set()
    words |= {str(code) for code in np.unique(attempts.code[repeated[kinds == Kind.STATUS]])}
    yield "retry_attempts", most - 1
    yield "retry_on", ",".join(sorted(words))
    tries_s = attempts.duration_s[repeated[attempts.timer[repeated] == Timer.PER_TRY]]
    if len(tries_s):
        yield "per_try_timeout", float(np.median(tries_s))
