"""What a rollup is to be of: which calls are counted, and what they are told apart by."""

from dataclasses import dataclass
from datetime import datetime

from meshslo.telemetry.vocabulary import PHASES, Phase

from .folding import KEYS


@dataclass(frozen=True)
class Scope:
    """The calls that started in [since, until), by time bucket (None: no buckets), vantage and `keys`, in some phases.

    Without `extremes` the totals hold no sums, shortest and longest durations, which can spare a second pass.
    """

    keys: tuple[str, ...] = KEYS
    bucket: str | None = "1m"
    phases: tuple[Phase, ...] = PHASES
    since: datetime | None = None
    until: datetime | None = None
    extremes: bool = True
