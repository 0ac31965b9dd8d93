"""The quantities of a simulation, and their comparison before and after."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from .estimates import Counts, Figure, Quantity, Resampling, Runs, Sample, Share, figures, ratio
from .kinds import TIMER_NAMES, Flags, Floats, Ints
from .policy import Policy
from .result import Contrast
from .tally import Tally


def _count(name: str) -> Callable[[Counts], Floats]:
    return lambda counts: np.asarray(counts[name])


def _stayed(counts: Counts) -> Floats:
    return np.asarray(counts["asked"] - counts["left"])


def _cut(counts: Counts) -> Floats:
    return np.asarray(np.sum([counts[name] for name in TIMER_NAMES.values()], axis=0))


AMPLIFICATION: Final = Share(lambda counts: np.asarray(counts["made"] - counts["asked"]), _count("asked"), base=1.0)
"""Attempts made for one request asked."""

SUCCESS: Final = Share(_count("ok"), _stayed)
"""Requests that ended well, of those whose caller stayed."""

CHAIN: Final[dict[str, Quantity]] = {
    "streams_cut_ratio": Share(_count("streams_cut"), _count("streams")),
    "success_ratio": SUCCESS,
    "calls_per_request": lambda counts: ratio(counts["made"], counts["asked"]),
    "tokens_in_vain": _count("in_vain"),
    "tokens_in_vain_ratio": lambda counts: ratio(counts["in_vain"], counts["tokens"]),
}
"""Of the whole chain, by requests from outside."""

ROW: Final[dict[str, Quantity]] = {
    "cut_ratio": Share(_cut, _count("asked")),
    **{f"cut_by_{name}": Share(_count(name), _count("asked")) for name in TIMER_NAMES.values()},
    "success_ratio": SUCCESS,
    "amplification": AMPLIFICATION,
    "tokens_in_vain": _count("in_vain"),
}
"""Of each row, by requests at its hop."""


def _rows(tally: Tally) -> Counts:
    return tally.rows


def _chain(tally: Tally) -> Counts:
    return {name: values[np.newaxis] for name, values in tally.chain.items()}


def _together(counts: Counts, first: Ints | None) -> Counts:
    return counts if first is None else {name: np.add.reduceat(values, first, axis=0) for name, values in counts.items()}


def _as_it_is(sample: Sample) -> Sample:
    return sample


Impossible = Mapping[str, Flags]
"""Rows in which a quantity cannot be but what it is: no such timer, no repetitions."""


def impossible(policies: Sequence[Policy], rows: Sequence[Ints]) -> Impossible:
    """What the policies of each row's groups rule out."""

    def none(value: Callable[[Policy], bool]) -> Flags:
        return np.array([not any(value(policies[group]) for group in groups) for groups in rows])

    timers = {
        "cut_by_total_timeout": none(lambda policy: np.isfinite(policy.total_s)),
        "cut_by_idle_gap_timeout": none(lambda policy: np.isfinite(policy.idle_s)),
        "cut_by_per_try_timeout": none(lambda policy: np.isfinite(policy.per_try_s)),
        "cut_by_max_stream_duration": none(lambda policy: np.isfinite(policy.stream_s)),
    }
    return {
        **timers,
        "cut_ratio": np.all(list(timers.values()), axis=0),
        "amplification": none(lambda policy: policy.retries > 0),
    }


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a comparison: its tallies, and what its policies rule out."""

    runs: Runs
    impossible: Impossible = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Contrasts:
    """What was seen, what the policies before make of it (or what was seen again), and those after, to be compared."""

    seen: Tally
    before: Side
    after: Side
    resampling: Resampling
    confidence: float

    def chain(self, hops: Ints, paths: Sequence[Ints]) -> dict[str, Contrast]:
        """Every quantity of the chain; amplification multiplies along the path of hops where that makes the most.

        hops: the hop of each row, numbers from 0 in order; paths: of these numbers.
        """
        found = {name: self._compared(name, quantity, _chain)[0] for name, quantity in CHAIN.items()}
        first = np.flatnonzero(np.diff(hops, prepend=-1))
        product = self._compared("amplification", AMPLIFICATION, _rows, first, lambda sample: sample.along(paths))
        return {**found, "amplification": product[0]}

    def rows(self) -> list[dict[str, Contrast]]:
        """Every quantity of each row."""
        found = {name: self._compared(name, quantity, _rows) for name, quantity in ROW.items()}
        found["peak_concurrency"] = self._peaks()
        return [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]

    def _compared(
        self,
        name: str,
        quantity: Quantity,
        counts: Callable[[Tally], Counts],
        first: Ints | None = None,
        combine: Callable[[Sample], Sample] = _as_it_is,
    ) -> list[Contrast]:
        """The quantity before and after; of rows taken together from each of `first` on."""

        def sampled(side: Side) -> Iterator[Sample]:
            for draws in side.runs:
                sample = self.resampling.sample([_together(counts(tally), first) for tally in draws], quantity)
                ruled_out = side.impossible.get(name) if counts is _rows else None
                if ruled_out is not None:
                    sample = sample.fixed(ruled_out if first is None else np.logical_and.reduceat(ruled_out, first))
                yield combine(sample)

        before, after = list(sampled(self.before)), list(sampled(self.after))
        before = before * (len(after) // len(before))
        edges = (quantity.base, np.inf if quantity.base else 1.0) if isinstance(quantity, Share) else (0.0, np.inf)
        sides = [
            figures(before, self.confidence, edges),
            figures(after, self.confidence, edges),
            figures([a - b for a, b in zip(after, before, strict=True)], self.confidence),
        ]
        seen = next(sampled(Side([[self.seen]]))).point
        return [Contrast(_known(seen[n]), *(side[n] for side in sides)) for n in range(len(seen))]

    def _peaks(self) -> list[Contrast]:
        """The most attempts at one time, over the draws: a window has one such moment and shows no spread of it."""
        before, after = (
            np.array([[tally.peak for tally in draws] for draws in side.runs]) for side in (self.before, self.after)
        )

        def figure(values: Floats) -> Figure:
            return Figure(float(values.mean()), float(values.min()), float(values.max()))

        more = after - before.mean(axis=1, keepdims=True)
        return [
            Contrast(float(self.seen.peak[n]), figure(before[..., n]), figure(after[..., n]), figure(more[..., n]))
            for n in range(len(self.seen.peak))
        ]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
