"""Would the promise have held? Timeouts fitted on the first part of the calls, judged on the rest, beside naive rules.

A fit takes the same bound that `recommend` takes (by its keys; by others, calls of one minute count as independent). The judged
part says which share of its calls a timer of that value would have cut, calls cut by others counted as censored.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np
import polars as pl

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.vocabulary import Phase

from . import histogram
from .answer import Answer
from .config import Config
from .deadlines import hidden_cuts
from .policy.durations import round_up
from .recommend.observed import KEYS, Tables, answered, silent_calls
from .rollup import roll_up
from .survival import LifeTable

SCHEMA: Final = "meshslo.backtest/1"
BY: Final = KEYS
JUDGED_AT: Final = 0.95
"""Confidence, two-sided, of the observed rate's interval."""

PHASE_OF: Final[dict[str, Phase]] = {
    "first_token_timeout": "first_token",
    "idle_gap_timeout": "max_gap",
    "total_timeout": "total",
}
_TIMERS: Final = PHASE_OF.keys() - {"first_token_timeout"}
"""Those that cut a call each by itself: what guards a first token is one of them under another name."""

Split = float | Literal["day", "rolling"]
"""The share of the calls, in time, that is fitted on; or each day judged by a fit on all days before; or so each of `SLICES`
equal slices of the calls after the first half."""

SLICES: Final = 10

Group = tuple[str | None, ...]


@dataclass(frozen=True)
class Judged:
    """A value on calls it did not learn from: the share that it would have cut, and whether that is within the promise."""

    value_s: float
    observed_rate: float
    observed_low: float
    observed_high: float
    kept_promise: bool


@dataclass(frozen=True)
class Row:
    """One target and setting of one fold. Without a value `status` is `not_identifiable`, and `needs_calls` more would do."""

    target: Mapping[str, str | None]
    setting: str
    status: Literal["judged", "not_identifiable"]
    fit_calls: int
    judged_calls: int
    promised_rate: float
    judged_from: str
    needs_calls: int | None = None
    own: Judged | None = None
    rules: Mapping[str, Judged] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON has it: the judgement's fields on the row itself, null where there is none."""
        own = asdict(self.own) if self.own else dict.fromkeys(Judged.__annotations__)
        rules = {name: asdict(rule) for name, rule in (self.rules or {}).items()}
        plain = {name: getattr(self, name) for name in ("setting", "status", "fit_calls", "judged_calls", "promised_rate")}
        extra = {"judged_from": self.judged_from, "needs_calls": self.needs_calls}
        return {"target": dict(self.target), **plain, **own, "rules": rules, **extra}


@dataclass(frozen=True)
class Backtest(Answer):
    """Every row, in order of target, setting and fold."""

    rows: tuple[Row, ...]

    @property
    def broken(self) -> tuple[Row, ...]:
        """Rows whose promise was surely not kept."""
        return tuple(row for row in self.rows if row.own is not None and not row.own.kept_promise)

    @property
    def frame(self) -> pl.DataFrame:
        """One row a judgement: the target's keys, the setting, our value and rate, and each rule's."""
        flat = []
        for row in self.rows:
            values = row.to_dict()
            rules = values.pop("rules")
            named = {
                f"{name}_{key}": rule[key]
                for name, rule in rules.items()
                for key in ("value_s", "observed_rate", "kept_promise")
            }
            flat.append({**values.pop("target"), **values, **named})
        return pl.DataFrame(flat, infer_schema_length=None)

    def to_json(self) -> str:
        """The JSON that `meshslo backtest --output json` prints."""
        return json.dumps({"schema": SCHEMA, "rows": [row.to_dict() for row in self.rows]}, indent=2)


def backtest(calls: pl.LazyFrame, config: Config | None = None, *, split: Split = 0.7, by: Sequence[str] = BY) -> Backtest:
    """Fit every timeout on the first part of the calls and judge it on the rest, by the keys `by`.

    Calls at a hidden deadline count as cut, as `recommend` counts them.
    Raises BadInputError for a split that leaves nothing to fit on or to judge.
    """
    config = config or Config()
    calls, _ = hidden_cuts(calls)
    rows = [row for fit, rest, since in _folds(calls, split) for row in _fold(fit, rest, since, config, tuple(by))]
    return Backtest(
        tuple(sorted(rows, key=lambda row: (*(value or "" for value in row.target.values()), row.setting, row.judged_from)))
    )


def _folds(calls: pl.LazyFrame, split: Split) -> Iterator[tuple[pl.LazyFrame, pl.LazyFrame, datetime]]:
    start = pl.col("start")
    if split == "day":
        days: list[datetime] = calls.select(start.dt.truncate("1d").unique().sort()).collect()["start"].to_list()
        if len(days) < 2:
            raise BadInputError(f"split by day needs calls of two days or more; there are {len(days)}: use --split 0.7")
        for day in days[1:]:
            yield calls.filter(start < day), calls.filter(start.dt.truncate("1d") == day), day
        return
    if split == "rolling":
        yield from _rolling(calls)
        return
    if not 0 < split < 1:
        raise BadInputError(f"split {split} is outside (0, 1); pass 0.7 to fit on the first 70 % of the calls, day, or rolling")
    ranked = calls.select(start, start.rank("ordinal").alias("rank"))
    later = pl.col("rank") > pl.len() * split
    first, at = ranked.select(start.min(), start.filter(later).min().alias("at")).collect().row(0)
    if at is None or first == at:
        raise BadInputError(f"split {split} leaves no calls to fit on: there are too few, or all started at once")
    yield calls.filter(start < at), calls.filter(start >= at), at


def _rolling(calls: pl.LazyFrame) -> Iterator[tuple[pl.LazyFrame, pl.LazyFrame, datetime]]:
    """Each slice after the first half, and all calls before it: a fit meets what came next, again and again."""
    start = pl.col("start")
    shares = [n / SLICES for n in range(SLICES // 2, SLICES)]
    cuts = calls.select(start.quantile(share, "higher").alias(str(share)) for share in shares).collect().row(0)
    ends = [*cuts[1:], None]
    first = calls.select(start.min()).collect().item()
    for begin, end in zip(cuts, ends, strict=True):
        if begin is None or begin in (first, end):
            raise BadInputError("a rolling split leaves a slice without calls: there are too few, or many started at once")
        yield calls.filter(start < begin), calls.filter(start >= begin, True if end is None else start < end), begin


def _fold(fit: pl.LazyFrame, rest: pl.LazyFrame, since: datetime, config: Config, by: tuple[str, ...]) -> Iterator[Row]:
    learned = {setting: _fitted(fit, phase, by) for setting, phase in PHASE_OF.items()}
    for setting, phase in PHASE_OF.items():
        judged = _tables(rest, phase, by)
        for group, table in learned[setting].items():
            target = dict(zip(by, group, strict=True))
            timers = max(1, sum(group in learned[other] for other in _TIMERS))
            promised = config.timer_ratio(target.get("hop") or "", timers)
            yield _row(target, setting, (table, judged.get(group)), promised, since, config.objectives.confidence)


def _fitted(calls: pl.LazyFrame, phase: Phase, by: tuple[str, ...]) -> dict[Group, LifeTable]:
    """Tables to fit on: where the keys are those of recommendations, with the bursts of calls in them."""
    tables = _tables(calls, phase, by)
    if by != KEYS:
        return tables
    seen = silent_calls(answered(calls)) if phase == "max_gap" else answered(calls)
    careful = Tables(roll_up(seen, keys=KEYS, bucket=None, phases=(phase,)), phase, seen)
    return {(hop, route, model): careful.careful(str(hop), route, model) for hop, route, model in tables}


def _tables(calls: pl.LazyFrame, phase: Phase, by: tuple[str, ...]) -> dict[Group, LifeTable]:
    """Life tables of a phase by the keys; each hop from its outermost vantage."""
    seen = silent_calls(answered(calls)) if phase == "max_gap" else answered(calls)
    rollup = roll_up(seen, keys=tuple(dict.fromkeys((*by, "hop"))), bucket=None, phases=(phase,)).pick_vantage().by(by)
    timed = rollup.where(pl.col("event") | pl.col("censored"))
    longest = {row[:-1]: row[-1] for row in timed.totals.group_by(by).agg(pl.col("max_s").max()).iter_rows()}
    groups = timed.cells.partition_by(by, as_dict=True)
    return {group: LifeTable.from_cells(cells, longest_s=longest[group]) for group, cells in sorted(groups.items(), key=str)}


def _row(
    target: dict[str, str | None],
    setting: str,
    tables: tuple[LifeTable, LifeTable | None],
    promised: float,
    since: datetime,
    confidence: float,
) -> Row:
    fit, rest = tables
    quantile = fit.quantile(1.0 - promised, confidence)
    known = quantile.status == "ok" and quantile.upper_s is not None and rest is not None and rest.calls > 0
    row = Row(
        target=target,
        setting=setting,
        status="judged" if known else "not_identifiable",
        fit_calls=fit.calls,
        judged_calls=rest.calls if rest else 0,
        promised_rate=promised,
        judged_from=since.isoformat(),
        needs_calls=quantile.needs_calls,
    )
    if not known or rest is None or quantile.upper_s is None:
        return row
    values = {"own": round_up(quantile.upper_s), **naive_rules(fit, 1.0 - promised, confidence)}
    found = {name: _judge(value_s, rest, promised) for name, value_s in values.items()}
    return Row(**{**vars(row), "own": found.pop("own"), "rules": found})


def _judge(value_s: float, rest: LifeTable, promised: float) -> Judged:
    seen = rest.exceedance(value_s, JUDGED_AT)
    return Judged(value_s, seen.estimate, seen.low, seen.high, seen.low <= promised)


def naive_rules(fit: LifeTable, q: float, confidence: float) -> dict[str, float]:
    """What people set instead, in seconds; a rule that these calls do not allow is absent.

    Twice the p99 of finished calls, the longest of them, their mean + 3 sigma, our own bound with cut calls dropped.
    """
    weight = fit.tables.events
    if not weight.sum():
        return {}
    at_s = histogram.midpoint(fit.index, fit.scale)
    mean_s = float(np.average(at_s, weights=weight))
    sigma_s = float(np.sqrt(np.average((at_s - mean_s) ** 2, weights=weight)))
    completed = fit.quantile(0.99, confidence).completed_value_s
    dropped = LifeTable.from_durations(np.repeat(at_s, fit.tables.event_counts)).quantile(q, confidence).upper_s
    rules = {
        "p99_times_2": None if completed is None else 2 * completed,
        "max": float(histogram.upper_edge(fit.index[weight > 0][-1:], fit.scale)[0]),
        "mean_plus_3_sigma": mean_s + 3 * sigma_s,
        "drop_cut_calls": None if dropped is None else round_up(dropped),
    }
    return {name: value_s for name, value_s in rules.items() if value_s is not None}
