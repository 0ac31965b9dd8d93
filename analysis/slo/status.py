"""All objectives of a config against the calls of a store, as a frame and as JSON (`meshslo.slo/1`)."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from meshslo.analysis.answer import Answer
from meshslo.analysis.deadlines import Pile, likely
from meshslo.analysis.quantile import Interval
from meshslo.analysis.rollup import roll_up
from meshslo.analysis.survival import LifeTable

from .judging import VERDICTS, Judged, as_timed, chosen, judge_each, start_of, with_hidden_cuts
from .metered import judge_series, nothing
from .objective import Objective
from .standing import Standing, stand

SCHEMA: Final = "meshslo.slo/1"
ENDS: Final = {"": "estimate", "_low": "low", "_high": "high"}
"""Endings of columns that hold an interval."""

Scan = Callable[[datetime | None, datetime | None], pl.LazyFrame]
Series = Callable[[datetime | None, datetime | None], pl.LazyFrame | None]
Piles = Callable[[datetime, datetime], tuple[Pile, ...]]
"""Hidden deadlines by hop and route of the calls that started in [since, until)."""


@dataclass(frozen=True, eq=False)
class SloReport(Answer):
    """How every objective stands at `at`, in the order of the config.

    piles: calls of its hops that count as cut although nothing says so, in the longest window that asks for a `total`.
    """

    standings: tuple[Standing, ...]
    at: datetime
    piles: tuple[Pile, ...] = ()

    @property
    def missed(self) -> tuple[Standing, ...]:
        """Those that are missed."""
        return tuple(standing for standing in self.standings if standing.status == "missed")

    @property
    def open(self) -> tuple[Standing, ...]:
        """Those that the calls do not decide, or that have none."""
        return tuple(standing for standing in self.standings if standing.status in ("undecided", "no_data"))

    def rows(self) -> list[dict[str, Any]]:
        """A dict for each objective, as in the JSON."""
        return [_row(standing) for standing in self.standings]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document as Python values."""
        piles = [asdict(pile) | {"likely": likely(pile.value_s)} for pile in self.piles]
        hidden = {"hidden_deadlines": piles} if piles else {}
        return {"schema": SCHEMA, "at": _iso(self.at), "items": self.rows(), **hidden}

    def to_json(self) -> str:
        """The JSON document, schema `meshslo.slo/1`."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    @property
    def frame(self) -> pl.DataFrame:
        """One row an objective: its name, what it selects, status, counts, attained share and budget left with limits."""
        names = ("attained", "budget_left")
        flat = []
        for row in self.rows():
            spread = {f"{name}{end}": (row[name] or {}).get(key) for name in names for end, key in ENDS.items()}
            flat.append({key: value for key, value in row.items() if key not in (*names, "burn", "all_of")} | spread)
        words = dict.fromkeys(("route", "model", "tenant", "vantage", "first"), pl.String)
        numbers = dict.fromkeys(("threshold_s", "exhausted_in_s", *(n + e for n in names for e in ENDS)), pl.Float64)
        return pl.DataFrame(flat, schema_overrides={**words, **numbers}, infer_schema_length=None)


@dataclass(frozen=True)
class Asked:
    """How to ask: at which moment, apart for which keys (of route, model, tenant), how sure an interval is to be."""

    at: datetime
    each: tuple[str, ...] = ()
    confidence: float = 0.95


@dataclass(frozen=True)
class Evidence:
    """Where to read: call rows, metrics that stand in where no call shows a hop, and hidden deadlines."""

    scan: Scan
    series: Series | None
    piles: Piles


def slo(evidence: Evidence, objectives: Sequence[Objective], asked: Asked) -> SloReport:
    """How `objectives` stand by their calls, judged one by one (no histogram, so no bucket error).

    Each is asked of the outermost vantage that shows it; of pulled metrics (in their buckets) where no call does.
    Of calls that were cut before the threshold nobody knows: the share is then the survival estimate, and its interval runs
    from "none of them" to "all of them would have kept it".
    """
    named = {objective.name: objective for objective in objectives}
    timed = [each for each in objectives if "total" in (named[name].phase for name in each.all_of or [each.name])]
    windows_s = sorted({each.window_s for each in timed})
    piles = {window_s: evidence.piles(start_of(asked.at, window_s), asked.at) for window_s in windows_s}
    found = [
        standing
        for objective in objectives
        for standing in _standings(evidence, objective, named, asked, piles.get(objective.window_s, ()))
    ]
    hops = {each.hop for each in timed}
    shown = tuple(pile for pile in piles[windows_s[-1]] if pile.hop in hops) if piles else ()
    return SloReport(tuple(found), asked.at, shown)


def _standings(
    evidence: Evidence, objective: Objective, named: Mapping[str, Objective], asked: Asked, piles: tuple[Pile, ...]
) -> Iterator[Standing]:
    since, series = start_of(asked.at, objective.window_s), evidence.series
    calls = with_hidden_cuts(evidence.scan(since, asked.at), piles)
    keys = [key for key in asked.each if getattr(objective, key) is None]
    judged = judge_each(calls, objective, named, keys)
    if not any(map(_is_seen, judged.values())):
        metrics = None if series is None or objective.vantage not in (None, "metric") else series(since, asked.at)
        if metrics is not None or not judged:
            yield _of_metrics(objective, asked, metrics)
            return
    vantage = next(iter(judged.values())).vantage
    is_cut = any(each.minutes["unknown"].sum() for each in judged.values())
    estimates = _survival(calls.filter(pl.col("vantage") == vantage), objective, keys) if is_cut else {}
    for group, each in judged.items():
        own = objective.model_copy(update=dict(zip(keys, group, strict=True)))
        yield stand(each, own, asked.at, estimate=estimates.get(group), confidence=asked.confidence)


def _of_metrics(objective: Objective, asked: Asked, series: pl.LazyFrame | None) -> Standing:
    judged, estimate = (nothing(), None) if series is None else judge_series(series, objective)
    return stand(judged, objective, asked.at, estimate=estimate, confidence=asked.confidence)


def _is_seen(judged: Judged) -> bool:
    return bool(judged.minutes.select(pl.any_horizontal(pl.col(VERDICTS) > 0).any()).item())


def _survival(calls: pl.LazyFrame, objective: Objective, keys: Sequence[str]) -> dict[tuple[str, ...], float]:
    """The survival estimate of the share within the threshold, by the keys; none of goodput, which is no duration."""
    if objective.phase is None or objective.threshold_s is None:
        return {}
    named = as_timed(chosen(calls, objective), objective.phase).with_columns(
        pl.col(key).cast(pl.String).fill_null("") for key in keys
    )
    cells = roll_up(named, keys=("hop", *keys), bucket=None, phases=[objective.phase], extremes=False).cells
    groups = cells.partition_by(keys, as_dict=True) if keys else {(): cells}
    beyond = {group: LifeTable.from_cells(each).exceedance(objective.threshold_s).estimate for group, each in groups.items()}
    return {tuple(map(str, group)): 1.0 - share for group, share in beyond.items() if not math.isnan(share)}


def _row(standing: Standing) -> dict[str, Any]:
    objective, counts = standing.objective, standing.counts
    return {
        "name": objective.name,
        **{key: getattr(objective, key) for key in ("hop", "route", "model", "tenant", "sli", "threshold_s")},
        "all_of": list(objective.all_of),
        "target": objective.target,
        "window": objective.window,
        "vantage": standing.vantage,
        "start": _iso(standing.start),
        "end": _iso(standing.end),
        "first": _iso(standing.first),
        "status": standing.status,
        "is_sure": standing.is_sure,
        "calls": counts.calls,
        "kept": counts.kept,
        "broken": counts.broken,
        "unknown": counts.unknown,
        "not_asked": counts.others,
        "attained": _interval(standing.attained),
        "budget_left": _interval(standing.budget_left),
        "exhausted_in_s": standing.exhausted_in_s,
        "burn": [burn.to_dict() for burn in standing.burns],
    }


def _interval(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else asdict(interval)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
