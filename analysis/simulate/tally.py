"""What happens, counted: by row of the result and block of time, so that blocks can be resampled."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from .chain import Outcome
from .expand import Happened, expand
from .fates import tokens_made
from .kinds import TIMER_NAMES, Flags, Floats, Ints, Kind, Timer
from .replay import Replay

COUNTS: Final = ("asked", "made", "ok", "left", "streams", "streams_cut", "tokens", "in_vain", *TIMER_NAMES.values())
"""Requests; attempts; requests that ended well, whose caller left, that stream; streams that a timer ended, here or further in;
tokens, those in vain; requests that each timer of the own proxy ended. All in weights."""

FROM_OUTSIDE: Final = ("asked", "ok", "left", "streams", "streams_cut")
"""Counts of a chain that are of requests from outside alone."""

MOSTLY: Final = 0.5
"""Tokens of a hop are another's if more than this share of the attempts that show them made a call that shows them too."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Where each request counts: the row of the result, and the block of time in which the request from outside began."""

    row: Ints
    rows: int
    block: Ints
    blocks: int

    def place(self, request: Ints, root: Ints) -> Ints:
        """Where requests of these roots count, for `sums`."""
        return np.asarray(self.row[request] * self.blocks + self.block[root])

    def sums(self, place: Ints, weight: Floats) -> Floats:
        """Sums of weights (row, block)."""
        summed = np.bincount(place, weights=weight, minlength=self.rows * self.blocks)
        return np.asarray(summed.reshape(self.rows, self.blocks), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts by name (row, block), those of the whole chain (block), and the most attempts of each row at one time."""

    rows: dict[str, Floats]
    chain: dict[str, Floats]
    peak: Floats


def tally(replay: Replay, outcome: Outcome, layout: Layout) -> Tally:
    """Count what happens under an outcome."""
    rows = {name: np.zeros((layout.rows, layout.blocks)) for name in COUNTS}
    chain = {name: np.zeros(layout.blocks) for name in (*FROM_OUTSIDE, "made", "tokens", "in_vain")}
    innermost = _makes_tokens(replay)
    spans: list[tuple[Ints, Floats, Floats]] = []
    for level, happened in enumerate(expand(replay, outcome)):
        _count_requests(replay, happened, layout, rows)
        if level == 0:
            chain |= {name: rows[name].sum(axis=0) for name in FROM_OUTSIDE}
        request, root = happened.request[happened.a_of], happened.root[happened.a_of]
        place, weight = layout.place(request, root), replay.requests.weight[root]
        tokens = _tokens(replay, outcome, happened) * weight
        inner = innermost[replay.group[request]]
        for name, values in (("made", weight), ("tokens", tokens), ("in_vain", tokens * ~happened.a_useful)):
            rows[name] += layout.sums(place, values)
            own = values if name == "made" else values * inner
            chain[name] += np.bincount(layout.block[root], weights=own, minlength=layout.blocks)
        spans.append((layout.row[request], happened.a_begin_s, happened.a_end_s))
    return Tally(rows, chain, _peaks(spans, layout.rows))


def _count_requests(replay: Replay, happened: Happened, layout: Layout, rows: dict[str, Floats]) -> None:
    request, weight = happened.request, replay.requests.weight[happened.root]
    streamed, ended_badly = replay.requests.streamed[request], (happened.kind != Kind.OK) & (happened.kind != Kind.LEFT)
    counted: dict[str, Flags] = {
        "asked": np.ones(len(request), dtype=bool),
        "ok": happened.kind == Kind.OK,
        "left": happened.kind == Kind.LEFT,
        "streams": streamed,
        "streams_cut": streamed & ended_badly & (happened.timer != Timer.NONE),
    }
    counted |= {name: happened.own & ended_badly & (happened.timer == timer) for timer, name in TIMER_NAMES.items()}
    place = layout.place(request, happened.root)
    for name, which in counted.items():
        if which.any():
            rows[name] += layout.sums(place, weight * which)


def _tokens(replay: Replay, outcome: Outcome, happened: Happened) -> Floats:
    """Tokens that each attempt makes until it ends."""
    attempt = outcome.rows.like[happened.a_row]
    if outcome.natural is None:
        return replay.attempts.tokens[attempt]
    return tokens_made(outcome.natural, attempt, happened.a_end_s - happened.a_begin_s)


def _makes_tokens(replay: Replay) -> Flags:
    """Groups whose own callee makes the tokens, not one that it calls: a chain's tokens are counted once, innermost."""
    attempts, requests = replay.attempts, replay.requests
    shows = attempts.tokens > 0
    below = np.zeros(len(attempts), dtype=bool)
    for level in reversed(range(1, replay.levels)):
        request = replay.at_level[level]
        has = np.zeros(len(requests), dtype=bool)
        has[attempts.request[shows | below]] = True
        below[requests.parent[request[has[request]]]] = True
    number = len(replay.groups)
    shown = np.bincount(attempts.group[shows], minlength=number)
    passed_on = np.bincount(attempts.group[shows & below], minlength=number)
    return np.asarray((shown > 0) & (passed_on <= MOSTLY * shown))


def _peaks(spans: list[tuple[Ints, Floats, Floats]], rows: int) -> Floats:
    """The most attempts under way at one time, by row."""
    row = np.concatenate([span[0] for span in spans])
    begin_s, end_s = (np.concatenate([span[n] for span in spans]) for n in (1, 2))
    order = np.argsort(row, kind="stable")
    bounds = np.searchsorted(row[order], np.arange(rows + 1))
    peaks = np.zeros(rows)
    for number in range(rows):
        own = order[bounds[number] : bounds[number + 1]]
        begins_s, ends_s = np.sort(begin_s[own]), np.sort(end_s[own])
        # What ends at the moment when another begins makes room for it.
        under_way = np.arange(1, len(own) + 1) - np.searchsorted(ends_s, begins_s, side="right")
        peaks[number] = under_way.max(initial=0)
    return peaks
