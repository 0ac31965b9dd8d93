"""Do recommendations still hold? Their promised rates against calls that came later, and since when they do not."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import polars as pl

from meshslo.analysis.answer import Answer
from meshslo.analysis.bursts import Group
from meshslo.analysis.rollup import roll_up
from meshslo.analysis.survival import LifeTable
from meshslo.telemetry.vocabulary import Phase

from .observed import KEYS, Observed, answered, silent_calls
from .recommendation import Learned, Recommendation, Recommendations, Target
from .words import seconds, share

SCHEMA: Final = "meshslo.support/1"

BLOCK: Final = "1h"
"""Service changes by the hour: so finely the begin of a change is told."""

PHASE_OF: Final[dict[str, Phase]] = {
    "first_token_timeout": "first_token",
    "idle_gap_timeout": "max_gap",
    "total_timeout": "total",
    "per_try_timeout": "first_byte",
}


@dataclass(frozen=True)
class Support:
    """What later calls say of one timeout: the share that it cuts, and whether its promise is surely broken.

    since: start of the first hour whose own calls say so; None where it holds, or where only all hours together tell. times:
    hours of the day (UTC) and days of the week whose own calls break it, all such hours or days together; looked at where
    calls cover two days or two weeks.
    """

    target: Target
    setting: str
    value_s: float
    promised_rate: float
    calls: int
    observed_rate: float
    observed_low: float
    observed_high: float
    supported: bool
    since: datetime | None = None
    times: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The sentence a person can repeat."""
        rate = f"{share(self.observed_rate)} ({share(self.observed_low)} to {share(self.observed_high)})"
        what = (
            f"{self.target}: {self.setting} {seconds(self.value_s)} cuts {rate} of calls, {share(self.promised_rate)} promised"
        )
        since = f", since {self.since:%Y-%m-%d %H:%M}Z" if self.since else ""
        at = f"; it cuts too many at {', '.join(self.times)}" if self.times else ""
        return what + at if self.supported else f"{what}: no longer supported{since}{at}"

    def to_dict(self) -> dict[str, Any]:
        """The support as JSON has it."""
        return asdict(self) | {"since": self.since.isoformat() if self.since else None}


@dataclass(frozen=True)
class Supports(Answer):
    """What later calls say of each timeout, by target and setting.

    learned: on which calls the recommendations rest, None where they do not say. until: when the last of the later calls began.
    """

    items: tuple[Support, ...]
    learned: Learned | None = None
    until: datetime | None = None

    @property
    def expired(self) -> bool:
        """Whether the later calls go on beyond the time that the recommendations are to be trusted for."""
        return self.learned is not None and self.until is not None and self.until > self.learned.expires

    @property
    def frame(self) -> pl.DataFrame:
        """One row a timeout: the target's parts, then what a `Support` holds."""
        return pl.DataFrame([_row(item) for item in self.items], schema_overrides=_ROW, infer_schema_length=None)

    def to_json(self) -> str:
        """The JSON that `meshslo recommend --check FILE --output json` prints."""
        until = self.learned.expires.isoformat() if self.learned else None
        items = [item.to_dict() for item in self.items]
        return json.dumps({"schema": SCHEMA, "items": items, "expires": until, "expired": self.expired}, indent=2)


_ROW: Final[dict[str, pl.DataType]] = {"route": pl.String(), "model": pl.String(), "since": pl.Datetime("us", "UTC")}


def _row(item: Support) -> dict[str, Any]:
    row = vars(item.target) | vars(item) | {"times": ", ".join(item.times)}
    del row["target"]
    return row


def support(advice: Recommendations, observed: Observed) -> Supports:
    """What the observed calls say of each timeout of `advice` that has a value; targets without calls are left out."""
    found: list[Support] = []
    for setting, phase in PHASE_OF.items():
        items = [item for item in advice.items if item.setting == setting and item.wanted is not None]
        if items:
            blocks = _blocks(observed, phase)
            budgets = [observed.config.timer_ratio(item.target.hop, _timers(advice, item.target)) for item in items]
            supports = (_support(*each, blocks) for each in zip(items, budgets, strict=True))
            found += [each for each in supports if each is not None]
    ordered = tuple(sorted(found, key=lambda each: (str(each.target), each.setting)))
    return Supports(ordered, advice.learned, observed.window[1] if observed.window else None)


def _timers(advice: Recommendations, target: Target) -> int:
    """How many timers may cut a call of the target's route; what guards a first token is one of them under another name."""
    settings = {item.setting for item in advice.items if (item.target.hop, item.target.route) == (target.hop, target.route)}
    return max(1, len(settings & (PHASE_OF.keys() - {"first_token_timeout"})))


Blocks = Mapping[tuple[datetime, str, str | None, str | None], pl.DataFrame]


def _blocks(observed: Observed, phase: Phase) -> Blocks:
    """Cells of a phase by hour, hop, route and model; each hop from its outermost vantage."""
    calls = answered(observed.calls)
    rollup = roll_up(
        silent_calls(calls) if phase == "max_gap" else calls, keys=KEYS, bucket=BLOCK, phases=(phase,)
    ).pick_vantage()
    parts = rollup.cells.partition_by("start", *KEYS, as_dict=True)
    return {(start, str(hop), route, model): cells for (start, hop, route, model), cells in parts.items()}


def _support(item: Recommendation, budget: float, blocks: Blocks) -> Support | None:
    here = {key: cells for key, cells in blocks.items() if _is_of(item.target, key[1:])}
    if not here or item.wanted is None:
        return None
    value_s = float(item.wanted)
    table = LifeTable.from_cells(pl.concat(list(here.values())))
    if not table.calls:
        return None
    seen = table.exceedance(value_s, item.confidence)
    return Support(
        target=item.target,
        setting=item.setting,
        value_s=value_s,
        promised_rate=budget,
        calls=table.calls,
        observed_rate=seen.estimate,
        observed_low=seen.low,
        observed_high=seen.high,
        supported=seen.low <= budget,
        since=None if seen.low <= budget else next(_broken(here, value_s, budget, item.confidence), None),
        times=tuple(_times(here, value_s, budget, item.confidence)),
    )


def _is_of(target: Target, group: Group) -> bool:
    return (target.hop, target.route) == group[:2] and target.model in (None, group[2])


def _broken(blocks: Blocks, value_s: float, budget: float, confidence: float) -> Iterator[datetime]:
    """The hours, in order, whose own calls break the promise."""
    for start in sorted({key[0] for key in blocks}):
        table = LifeTable.from_cells(pl.concat([cells for key, cells in blocks.items() if key[0] == start]))
        if table.calls and table.exceedance(value_s, confidence).low > budget:
            yield start


def _times(blocks: Blocks, value_s: float, budget: float, confidence: float) -> Iterator[str]:
    """Hours of the day and days of the week that break the promise, surely so among all that are looked at."""
    days = {key[0].date() for key in blocks}
    for covered, name, number in ((2, "%H h", 24), (14, "%A", 7)):
        if len(days) < covered:
            continue
        parts: dict[str, list[pl.DataFrame]] = {}
        for key, cells in sorted(blocks.items(), key=lambda item: item[0][0]):
            parts.setdefault(f"{key[0]:{name}}", []).append(cells)
        for time, hours in sorted(parts.items()):
            table = LifeTable.from_cells(pl.concat(hours))
            if table.calls and table.exceedance(value_s, 1.0 - (1.0 - confidence) / number).low > budget:
                yield time
