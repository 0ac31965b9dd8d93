"""The simulation from calls to figures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from meshslo.analysis.config import Config
from meshslo.analysis.recommend import Recommendations, observe
from meshslo.analysis.recommend.chain import paths
from meshslo.analysis.recommend.recommendation import Target
from meshslo.telemetry.errors import BadInputError

from .chain import observed, simulated
from .engine import Rules
from .estimates import Resampling
from .fates import Again, Fates
from .inferred import inferred, targets
from .kinds import Ints
from .notes import notes
from .policy import Mesh, Policy, Settings, policies, stated_now
from .quantities import Contrasts, Side, impossible
from .reading import read
from .replay import KEYS, Replay
from .result import Row, Simulation
from .tally import Layout, Tally, tally

BY: Final = ("hop",)
BLOCKS: Final = 40
"""Stretches of time that are resampled: enough to tell their spread, long enough to hold bursts."""
DRAWS: Final = 8
"""Draws of what is not known of calls, at most; of many calls fewer, since theirs average out."""
ATTEMPTS_DRAWN: Final = 200_000
CONFIDENCE: Final = 0.95

Proposal = Mesh | Recommendations


def simulate(
    calls: pl.LazyFrame,
    proposed: Proposal,
    *,
    current: Mesh | None = None,
    by: Sequence[str] = BY,
    config: Config | None = None,
    seed: int = 0,
) -> Simulation:
    """The calls replayed under the policies of now and those proposed; by hop, and the further keys `by`.

    Without `current` what was seen stands for now. What the proposal says nothing of stays as it is now. Raises BadInputError
    for keys that there are not, and for a proposal that concerns none of the calls.
    """
    keys = tuple(dict.fromkeys(["hop", *by]))
    wrong = [key for key in keys if key not in KEYS]
    if wrong:
        raise BadInputError(f"simulations are told apart by {', '.join(KEYS)}, not by {', '.join(wrong)}")
    replay = read(calls)
    now = _Now(replay, calls, config or Config(), current)
    after = policies(targets(replay), proposed, now.settings(proposed))
    before = None if current is None else policies(targets(replay), current, now.settings(current))
    run = _Run(replay, keys, seed)
    seen = tally(replay, observed(replay), run.layout)
    runs = run.tallies([after] if before is None else [after, before])
    then = Side(runs[0], impossible(after, run.groups_of_rows))
    first = Side([[seen]]) if before is None else Side(runs[1], impossible(before, run.groups_of_rows))
    compared = Contrasts(seen, first, then, run.resampling, CONFIDENCE)
    start = calls.select(pl.col("start").min().alias("since"), pl.col("start").max().alias("until")).collect().row(0)
    return Simulation(
        since=start[0],
        until=start[1],
        calls=len(replay.attempts),
        requests=int((replay.requests.level == 0).sum()),
        before_is="observed" if before is None else "current",
        confidence=CONFIDENCE,
        seed=seed,
        chain=compared.chain(*run.hops),
        rows=tuple(
            Row(dict(zip(keys, row, strict=True)), int(asked), found)
            for row, asked, found in zip(run.groups.rows(), run.requests_of_rows, compared.rows(), strict=True)
        ),
        notes=(*now.notes(proposed), *notes(replay, after)),
    )


@dataclass(frozen=True, eq=False)
class _Now:
    """What is at work now, of targets for which that is asked: manifests, what advice was given over, else what calls show."""

    replay: Replay
    calls: pl.LazyFrame
    config: Config
    current: Mesh | None

    @cached_property
    def _inferred(self) -> Mapping[Target, Settings]:
        return inferred(self.replay, observe(self.calls, self.config))

    def settings(self, proposed: Proposal) -> dict[Target, Settings]:
        """The settings of now of the targets that a proposal does not, or not wholly, set."""
        every = targets(self.replay)
        if isinstance(proposed, Recommendations):
            return {target: self._of(target) or stated_now(proposed, target, self._inferred[target]) for target in every}
        if not any(proposed.settings(target) for target in every):
            raise BadInputError(
                f"nothing of what is proposed concerns these calls: it is about {proposed.callees or 'nobody'}, and they go to "
                f"{', '.join(sorted({target.callee for target in every}))}"
            )
        return {target: self._of(target) or self._inferred[target] for target in every if not proposed.knows(target)}

    def notes(self, proposed: Proposal) -> Iterator[str]:
        """Which targets go on under what calls show of their policy, and what that is."""
        inferred = [] if isinstance(proposed, Recommendations) else [t for t in self.settings(proposed) if not self._of(t)]
        for target in inferred:
            known = ", ".join(f"{name} {value}" for name, value in sorted(self._inferred[target].items()))
            yield f"{target}: nothing proposed leads there; it goes on as calls show: {known or 'no timer, no repetition'}"

    def _of(self, target: Target) -> Settings | None:
        return self.current.settings(target) if self.current and self.current.knows(target) else None


@dataclass(frozen=True, eq=False)
class _Run:
    """Simulations of one replay, whose draws and resamples all of them share."""

    replay: Replay
    keys: tuple[str, ...]
    seed: int

    @cached_property
    def groups(self) -> pl.DataFrame:
        """The keys of each row."""
        return self.replay.keys.select(self.keys).unique().sort(self.keys, nulls_last=True)

    @cached_property
    def _row(self) -> Ints:
        numbered = self.groups.with_row_index("row")
        joined = self.replay.keys.join(numbered, on=self.keys, how="left", nulls_equal=True, maintain_order="left")
        return joined["row"].cast(pl.Int64).to_numpy()

    @cached_property
    def requests_of_rows(self) -> Ints:
        """Requests seen of each row."""
        return np.bincount(self._row, minlength=self.groups.height)

    @cached_property
    def groups_of_rows(self) -> list[Ints]:
        """The groups of attempts that each row holds."""
        row, group = np.divmod(np.unique(self._row * len(self.replay.groups) + self.replay.group), len(self.replay.groups))
        return np.split(group, np.searchsorted(row, np.arange(1, self.groups.height)))

    @cached_property
    def layout(self) -> Layout:
        """Rows of the result, and blocks of time that hold a request from outside."""
        start_s, entry = self.replay.requests.start_s, self.replay.requests.level == 0
        span_s = float(start_s.max(initial=0.0)) or 1.0
        place = np.minimum((start_s / span_s * BLOCKS).astype(np.int64), BLOCKS - 1)
        filled, block = np.unique(place[entry], return_inverse=True)
        of = np.zeros(len(start_s), np.int64)
        of[entry] = block
        return Layout(self._row, self.groups.height, of, len(filled))

    @cached_property
    def hops(self) -> tuple[Ints, list[Ints]]:
        """The hop of each row, as a number in order, and those of each way through the chain."""
        names, number = np.unique(self.groups["hop"].to_numpy(), return_inverse=True)
        place = {name: n for n, name in enumerate(names.tolist())}
        return number, [np.array([place[hop] for hop in way]) for way in paths(list(place))]

    @cached_property
    def resampling(self) -> Resampling:
        """Weights of the blocks."""
        weight = self.replay.requests.weight[self.replay.requests.level == 0]
        return Resampling.of(self.layout.blocks, float(weight.sum() / (weight**2).sum()), np.random.default_rng([self.seed, 0]))

    def tallies(self, sets: Sequence[Sequence[Policy]]) -> list[list[list[Tally]]]:
        """Of each set of policies, for each end of what may be, the tally of each draw."""
        fates = Fates(self.replay)
        known = not fates.cut.any() and not any(policy.retries for chosen in sets for policy in chosen)
        ends = (True,) if known else (True, False)
        draws = 1 if known else int(np.clip(ATTEMPTS_DRAWN // max(len(self.replay.attempts), 1), 1, DRAWS))
        found: list[list[list[Tally]]] = [[[] for _ in ends] for _ in sets]
        for end, soonest in enumerate(ends):
            again = Again(self.replay, hopeful=soonest)
            for draw in range(draws):
                natural = fates.draw(np.random.default_rng([self.seed, 1, draw]), soonest=soonest, reweigh=draws > 1)
                for number, chosen in enumerate(sets):
                    # The same numbers for all policies: what differs is what they do.
                    rng = np.random.default_rng([self.seed, 2, draw])
                    outcome = simulated(self.replay, natural, Rules(chosen), again, rng)
                    found[number][end].append(tally(self.replay, outcome, self.layout))
        return found
