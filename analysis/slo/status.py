"""All objectives of a config against the calls of a store, as a frame and as JSON (`meshslo.slo/1`)."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from meshslo.analysis.quantile import Interval
from meshslo.analysis.rollup import roll_up
from meshslo.analysis.survival import LifeTable

from .judging import VERDICTS, Judged, chosen, judge, start_of
from .metered import judge_series
from .objective import Objective
from .standing import Standing, stand

if TYPE_CHECKING:
    import pandas as pd

SCHEMA: Final = "meshslo.slo/1"
Scan = Callable[[datetime | None, datetime | None], pl.LazyFrame]
Series = Callable[[datetime | None, datetime | None], pl.LazyFrame | None]


@dataclass(frozen=True, eq=False)
class SloReport:
    """How every objective stands at `at`, in the order of the config."""

    standings: tuple[Standing, ...]
    at: datetime

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
        return {"schema": SCHEMA, "at": _iso(self.at), "items": self.rows()}

    def to_json(self) -> str:
        """The JSON document, schema `meshslo.slo/1`."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    @property
    def frame(self) -> pl.DataFrame:
        """One row an objective: its name, what it selects, status, counts, attained share and budget left with limits."""
        names = ("attained", "budget_left")
        flat = []
        for row in self.rows():
            spread = {
                f"{name}{end}": (row[name] or {}).get(key)
                for name in names
                for end, key in (("", "estimate"), ("_low", "low"), ("_high", "high"))
            }
            flat.append({key: value for key, value in row.items() if key not in (*names, "burn", "all_of")} | spread)
        return pl.DataFrame(flat, infer_schema_length=None)

    def to_pandas(self) -> "pd.DataFrame":
        """The frame for pandas, which `pip install 'meshslo[dashboards]'` brings."""
        return self.frame.to_pandas()

    def _repr_html_(self) -> str:
        return self.frame._repr_html_()


def slo(
    scan: Scan, objectives: Sequence[Objective], at: datetime, *, series: Series | None = None, confidence: float = 0.95
) -> SloReport:
    """How `objectives` stand at `at` by the calls of `scan`, judged one by one (no histogram, so no bucket error).

    Each is asked of the outermost vantage that shows it; of pulled metrics (`series`, in their buckets) where no call does.
    Of calls that were cut before the threshold nobody knows: the share is then the survival estimate, and its interval runs
    from "none of them" to "all of them would have kept it".
    """
    named = {objective.name: objective for objective in objectives}
    standings = []
    for objective in objectives:
        since = start_of(at, objective.window_s)
        calls = scan(since, at)
        judged = judge(calls, objective, named)
        estimate = _survival(calls, objective, judged) if judged.minutes["unknown"].sum() else None
        metrics = series(since, at) if series is not None and _is_unseen(judged) else None
        if metrics is not None and objective.vantage in (None, "metric"):
            judged, estimate = judge_series(metrics, objective)
        standings.append(stand(judged, objective, at, estimate=estimate, confidence=confidence))
    return SloReport(tuple(standings), at)


def _is_unseen(judged: Judged) -> bool:
    return not judged.minutes.select(pl.any_horizontal(pl.col(VERDICTS) > 0).any()).item()


def _survival(calls: pl.LazyFrame, objective: Objective, judged: Judged) -> float | None:
    """The survival estimate of the share within the threshold; None for goodput, which is no duration."""
    if objective.phase is None or objective.threshold_s is None:
        return None
    seen = chosen(calls, objective).filter(pl.col("vantage") == judged.vantage)
    rollup = roll_up(seen, keys=("hop",), bucket=None, phases=[objective.phase], extremes=False)
    beyond = LifeTable.from_cells(rollup.cells).exceedance(objective.threshold_s).estimate
    return None if math.isnan(beyond) else 1.0 - beyond


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
