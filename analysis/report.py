"""What `meshslo report` says: outcomes and quantiles of each group, with intervals, as a frame and as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import polars as pl

from meshslo.telemetry.vocabulary import OUTCOMES, Phase

from .answer import Answer
from .cardinality import Folded
from .deadlines import Pile, likely
from .folding import Rollup
from .spread import Look
from .tables import group_keys, life_tables

SCHEMA: Final = "meshslo.report/1"
QUANTILE_COLUMNS: Final = ("q", "value_s", "low_s", "high_s", "status", "needs_calls", "completed_value_s", "design_effect")


@dataclass(frozen=True, eq=False)
class Report(Answer):
    """One row a group and quantile: vantage, the keys asked for, phase, calls, the calls of each outcome, the quantile.

    calls: all of the group. timed: those in the estimate, 0 where the phase is not measured (this is not in the JSON).
    design_effect: by what the calls count for fewer since those of a minute, hour or day go together, so that the interval is
    wider by its root; null where that is not known, and calls are taken for independent.

    start, end: the window asked for, or the first and last start of a call. folded: what was counted as `__other__`.
    piles: calls that count as cut although nothing says so (see `deadlines`). independent: why no design effect is known.
    """

    frame: pl.DataFrame
    by: tuple[str, ...]
    phase: Phase
    start: datetime | None
    end: datetime | None
    folded: tuple[Folded, ...] = ()
    piles: tuple[Pile, ...] = ()
    independent: str | None = None

    def rows(self) -> list[dict[str, Any]]:
        """A dict for each group, as in the JSON: its quantiles in a list."""
        keys = ["vantage", *self.by]
        found: list[dict[str, Any]] = []
        for _, rows in self.frame.group_by(keys, maintain_order=True):
            first = rows.row(0, named=True)
            found.append(
                {
                    **{key: first[key] for key in keys},
                    "phase": self.phase,
                    "calls": first["calls"],
                    "outcomes": {outcome: first[outcome] for outcome in OUTCOMES},
                    "quantiles": rows.select(QUANTILE_COLUMNS).to_dicts(),
                }
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """The JSON document as Python values, schema `meshslo.report/1`."""
        window = {"start": _iso(self.start), "end": _iso(self.end)}
        piles = [asdict(pile) | {"likely": likely(pile.value_s)} for pile in self.piles]
        hidden = {"hidden_deadlines": piles} if piles else {}
        return {"schema": SCHEMA, "window": window, "rows": self.rows(), **hidden}

    def to_json(self) -> str:
        """The JSON document, schema `meshslo.report/1`."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)


def report(
    rollup: Rollup,
    *,
    phase: Phase = "total",
    quantiles: Sequence[float] = (0.95, 0.99),
    confidence: float = 0.95,
    look: Look | None = None,
) -> pl.DataFrame:
    """The frame of a `Report`: quantiles of the survival estimate of each group of `rollup`, the naive ones beside them.

    look: tells the design effects of bursts (see `spread`); without it calls are taken for independent.
    """
    groups, tables = life_tables(rollup, phase)
    effects = [np.full(len(tables), np.nan)] * len(quantiles) if look is None else look(groups, tables, quantiles)
    counted = _outcomes(rollup, phase, groups).with_columns(pl.Series("timed", tables.calls))
    parts = []
    for q, effect in zip(quantiles, effects, strict=True):
        fewer = replace(tables, weight_sq=tables.weight_sq * np.nan_to_num(effect, nan=1.0)) if (effect > 1.0).any() else tables
        found = fewer.quantiles(q, confidence)
        parts.append(
            counted.with_columns(
                pl.lit(q).alias("q"),
                *(pl.Series(name, getattr(found, name), nan_to_null=True) for name in ("value_s", "low_s", "high_s")),
                pl.Series("status", found.status.astype(object), dtype=pl.String),
                pl.when(pl.Series(found.status == "not_identifiable")).then(pl.Series(found.needs_calls)).alias("needs_calls"),
                pl.Series("completed_value_s", found.completed_value_s, nan_to_null=True),
                pl.Series("design_effect", effect, nan_to_null=True),
            )
        )
    # The groups are in order: only the quantiles of each have to come together.
    together = np.arange(len(parts) * len(tables)).reshape(len(parts), -1).T.ravel()
    return pl.concat(parts)[together]


def _outcomes(rollup: Rollup, phase: Phase, groups: pl.DataFrame) -> pl.DataFrame:
    """The groups with their number of calls, in all and of each outcome."""
    each = [pl.col("count").filter(pl.col("outcome") == outcome).sum().cast(pl.Int64).alias(outcome) for outcome in OUTCOMES]
    keys = group_keys(rollup)
    counted = (
        rollup.totals.filter(pl.col("phase") == phase)
        .group_by(keys)
        .agg(pl.col("count").sum().cast(pl.Int64).alias("calls"), *each)
    )
    joined = groups.join(counted, on=keys, nulls_equal=True, maintain_order="left")
    return joined.select(*keys, pl.lit(phase).alias("phase"), "calls", *OUTCOMES)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
