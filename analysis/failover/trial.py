"""What failures in a row, counted by endpoint, would have made of the preferred place: Envoy's algorithm on the calls seen.

The limit is above what chance and bad moments give a well place, so that nothing but an outage moves calls.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.analysis.calm import calm_stretches
from meshslo.analysis.ejection.answers import Answers, answers_of
from meshslo.analysis.ejection.limits import BASE_EJECTION_S, INTERVAL_S, LEAST_IN_A_ROW, MOST_IN_A_ROW, longest_run
from meshslo.analysis.ejection.replay import Replay, Rules, replay
from meshslo.analysis.interval import proportion, wilson
from meshslo.analysis.quantile import Interval

from .places import Places
from .spill import OVERPROVISIONING, Spill, late_failures, spill

STRETCHES: Final = 30
"""Stretches of time, equally long, that are told into calm ones and others."""

USUAL_AT: Final = 0.25
"""A fourth of the time is enough to know what is usual: an outage may take most of a window."""


@dataclass(frozen=True, eq=False)
class Trial:
    """The calls of two places under a detector; `overprovisioning` as in `spill`."""

    places: Places
    confidence: float
    overprovisioning: float = OVERPROVISIONING

    @cached_property
    def answers(self) -> Answers:
        """The answers of both places."""
        return answers_of(self.places.calls)

    @cached_property
    def first(self) -> frozenset[str]:
        """The endpoints of the preferred place."""
        return frozenset(self.places.endpoints(self.places.names[0]))

    @cached_property
    def is_first(self) -> NDArray[np.bool_]:
        """Which answers are the preferred place's."""
        return np.isin(self.answers.pod, [n for n, pod in enumerate(self.answers.pods) if pod in self.first])

    @cached_property
    def calm(self) -> NDArray[np.bool_]:
        """Which answers came in a stretch of time in which the preferred place failed no more than usual."""
        stretch = np.minimum((self.answers.at_s * STRETCHES / max(self.answers.span_s, 1e-9)).astype(np.int64), STRETCHES - 1)
        asked = np.bincount(stretch[self.is_first], minlength=STRETCHES)
        failed = np.bincount(stretch[self.is_first & self.answers.failed], minlength=STRETCHES)
        return calm_stretches(failed, asked, USUAL_AT)[stretch]

    @cached_property
    def limit(self) -> int | None:
        """Failures in a row of one endpoint that a well place does not have; None where it has too many.

        So many that they come by chance in the window with probability 1 - confidence at most, and more than calm times had.
        """
        calm = self.is_first & self.calm
        failed, asked = int((calm & self.answers.failed).sum()), int(calm.sum())
        share = float(proportion(failed, max(asked, 1), self.confidence)[1])
        # n (1 - p) p^k runs of k failures and more are expected among n answers.
        expected = asked * (1.0 - share) / (1.0 - self.confidence)
        chance = LEAST_IN_A_ROW if expected <= 1.0 else math.ceil(math.log(expected) / -math.log(share))
        seen = max(
            (longest_run((calm & self.answers.failed)[self.answers.pod == n]) for n in np.unique(self.answers.pod)), default=0
        )
        limit = max(LEAST_IN_A_ROW, chance, seen + 1)
        return limit if limit <= MOST_IN_A_ROW else None

    @property
    def percent(self) -> int:
        """Per cent of all endpoints that may be out: all but one, so that the preferred place can be out as a whole."""
        number = len(self.answers.pods)
        return math.ceil(100.0 * (number - 1) / number)

    @property
    def rules(self) -> Rules:
        """The detector's settings."""
        return Rules(self.limit, None, INTERVAL_S, BASE_EJECTION_S, self.percent)

    @cached_property
    def outage(self) -> Interval:
        """Share of the preferred place's answers that failed when it was not calm, with its interval."""
        bad = self.is_first & ~self.calm
        return wilson(int((bad & self.answers.failed).sum()), int(bad.sum()), self.confidence)

    @cached_property
    def outcome(self) -> Replay:
        """Whom it would have ejected."""
        return replay(self.answers, self.rules)

    @cached_property
    def spill(self) -> Spill:
        """What that would have sent to the other place."""
        return spill(self.answers, self.outcome, self.first, BASE_EJECTION_S, self.overprovisioning)

    @cached_property
    def spared(self) -> int:
        """Failures that others would have been asked for instead."""
        return self.outcome.spared - late_failures(self.answers, self.outcome, self.first)

    def with_timer(self, first_token_s: float) -> Spill:
        """The same where a timer ends every call without a first token (where nothing streams, an answer) by then."""
        waited = pl.coalesce("first_token_s", pl.when(pl.col("outcome") == "ok").then("duration_s"))
        late = (waited > first_token_s) & (pl.col("place") == self.places.names[0])
        cut = {"duration_s": first_token_s, "outcome": "timeout", "first_byte_s": None, "status_code": None}
        calls = self.places.calls.with_columns(
            pl.when(late).then(pl.lit(value)).otherwise(name).alias(name) for name, value in cut.items()
        )
        answers = answers_of(calls)
        return spill(answers, replay(answers, self.rules), self.first, BASE_EJECTION_S, self.overprovisioning)
