"""What goes wrong in the demo besides its mesh's settings, by the time since a run began, so that runs compare."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Windows:
    """Recurring stretches of time: the first at `first_s`, then every `every_s`, each `lasts_s` long."""

    first_s: float
    every_s: float
    lasts_s: float

    def holds(self, at_s: float) -> bool:
        """Whether `at_s` after the run's start lies in one of them.

        >>> Windows(2.0, 10.0, 3.0).holds(13.0), Windows(2.0, 10.0, 3.0).holds(1.0)
        (True, False)
        """
        return at_s >= self.first_s and (at_s - self.first_s) % self.every_s < self.lasts_s


SLOW_REPLICAS: Final[dict[str, Windows]] = {
    "generator-1": Windows(first_s=3.0, every_s=20.0, lasts_s=4.0),
    "reranker-1": Windows(first_s=2.0, every_s=12.0, lasts_s=4.0),
}
"""Replicas that are slow now and then."""

SLOW_FACTOR: Final[dict[str, float]] = {"generator": 1.4, "reranker": 6.0}
"""How much slower they are then."""

RESET_RATIO = 0.008
"""Share of calls whose connection a generator drops before it answers."""
