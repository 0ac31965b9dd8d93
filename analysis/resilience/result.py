"""What there is to know of loads, pods and zones, as one answer."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

import polars as pl

from meshslo.analysis.answer import Answer
from meshslo.analysis.knee import Knee, Peak
from meshslo.analysis.recommend.limits import Bearing

SCHEMA: Final = "meshslo.resilience/1"


@dataclass(frozen=True)
class Level:
    """Calls that met about `load` others: their mean wait over that of their kind at low load."""

    load: float
    slowness: float
    calls: int


@dataclass(frozen=True)
class HopLimit:
    """Calls at a time through each client proxy of a hop; None where the reason says why it is not known."""

    hop: str
    limit: int | None
    reason: str


@dataclass(frozen=True)
class Load:
    """One callee: calls in progress on average and at most, what its calls wait for (`waits`), and what load does to that.

    seen_by: "calls" where single calls were swept, "metrics" where Little's law is all there is. bears: None where not known.
    """

    callee: str
    calls: int
    mean: float
    most: float
    waits: str
    seen_by: str
    knee: Knee
    peak: Peak | None
    bears: Bearing | None
    levels: tuple[Level, ...]
    limits: tuple[HopLimit, ...]


@dataclass(frozen=True)
class Pod:
    """One pod of a hop's callee: answers, failures; whether it surely fails more than the others, and how much slower it is.

    slow_ratio: over the others at the same work, where it is surely slower; else None, with its limits.
    """

    hop: str
    pod: str
    answers: int
    failed: int
    broken: bool
    slow_ratio: float | None
    slow_low: float | None
    slow_high: float | None


@dataclass(frozen=True)
class Out:
    """A pod that the proposed detector would have ejected, from when until when (None: still out), and by which rule."""

    hop: str
    pod: str
    start: datetime
    end: datetime | None
    rule: str


@dataclass(frozen=True)
class ZonePair:
    """A row of `analysis.zones.MATRIX`: calls of a hop from one zone to another, their first tokens, failures and money."""

    hop: str
    from_zone: str
    to_zone: str
    calls: int
    first_token_p95_s: float | None
    first_token_p95_low_s: float | None
    first_token_p95_high_s: float | None
    failed_ratio: float
    failed_low: float
    failed_high: float
    cost_per_day: float | None


@dataclass(frozen=True)
class Resilience(Answer):
    """Loads by callee, pods and ejections by hop, zones; `notes` say what could not be told, and what is missing for it."""

    loads: tuple[Load, ...]
    pods: tuple[Pod, ...]
    ejections: tuple[Out, ...]
    zones: tuple[ZonePair, ...]
    notes: tuple[str, ...]

    @property
    def frame(self) -> pl.DataFrame:
        """One row a hop: its callee's load and what it bears, the limit, pods, broken and slow ones, ejections."""
        return pl.DataFrame(list(self._rows()), schema=_FRAME)

    def _rows(self) -> Iterator[dict[str, Any]]:
        for load in self.loads:
            bears = (None, None, None) if load.bears is None else (load.bears.at, load.bears.low, load.bears.high)
            plain = {"mean": load.mean, "most": load.most} | dict(zip(("bears", "low", "high"), bears, strict=True))
            for hop in load.limits:
                mine = [pod for pod in self.pods if pod.hop == hop.hop]
                yield {
                    "hop": hop.hop,
                    "calls": load.calls,
                    **plain,
                    "knee": load.knee.status,
                    "limit": hop.limit,
                    "pods": len(mine),
                    "broken": sum(pod.broken for pod in mine),
                    "slow": sum(pod.slow_ratio is not None for pod in mine),
                    "ejections": sum(out.hop == hop.hop for out in self.ejections),
                }

    def of_hops(self, hops: Sequence[str]) -> "Resilience":
        """What concerns these hops; notes on others, which begin with their name, are left out."""
        loads = (replace(load, limits=tuple(hop for hop in load.limits if hop.hop in hops)) for load in self.loads)
        others = {hop.hop for load in self.loads for hop in load.limits} - set(hops)
        return Resilience(
            tuple(load for load in loads if load.limits),
            tuple(pod for pod in self.pods if pod.hop in hops),
            tuple(out for out in self.ejections if out.hop in hops),
            tuple(pair for pair in self.zones if pair.hop in hops),
            tuple(note for note in self.notes if note.split(": ")[0] not in others),
        )

    def to_json(self) -> str:
        """The JSON that `meshslo resilience --output json` prints."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2, default=datetime.isoformat)


_FRAME: Final = pl.Schema(
    {"hop": pl.String(), "calls": pl.Int64()}
    | dict.fromkeys(("mean", "most", "bears", "low", "high"), pl.Float64())
    | {"knee": pl.String()}
    | dict.fromkeys(("limit", "pods", "broken", "slow", "ejections"), pl.Int64())
)
