"""What load each callee was under as metrics tell it: calls in progress by Little's law by the minute, and mean waits beside.

No single call is needed. A minute's mean hides what calls met within it, so its knee comes before that of single calls; and
metrics do not tell long prompts from short ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.analysis.knee import Knee, find_knee, load_levels
from meshslo.analysis.metrics import roll_up_series
from meshslo.analysis.rollup import Rollup
from meshslo.telemetry.vocabulary import Phase

from .load import BLOCKS, LOW_SHARE

Floats = NDArray[np.float64]

KEYS: Final = ("hop", "route", "model")
BUCKETS_S: Final[Mapping[str, float]] = {"1m": 60.0, "5m": 300.0, "15m": 900.0, "1h": 3600.0}
LONG_BESIDE: Final = 5.0
"""Little's law holds over windows that are long beside a call: so many times its mean."""

WAITS: Final[Mapping[Phase, str]] = {"first_token": "first tokens", "first_byte": "response headers", "total": "whole calls"}
"""What metrics may tell of a call's wait, the best first."""

FEWEST_OF_KIND: Final = 10
"""Calls of one hop, route and model in the minutes of low load that say how long such a call takes there."""


@dataclass(frozen=True, eq=False)
class RolledLoad:
    """One callee by bucket of time (`rows`: start, in_progress, slowness, calls; slowness is null where not known)."""

    rows: pl.DataFrame
    held_s: Mapping[str, float]
    """Seconds that calls of each hop took, all together, by hop in order."""
    waits: str
    bucket: str

    @property
    def calls(self) -> int:
        """Calls that were counted."""
        return int(self.rows["calls"].sum())

    @property
    def mean(self) -> float:
        """Calls in progress, averaged over the buckets that have any."""
        return float(self.rows["in_progress"].mean() or 0.0)  # type: ignore[arg-type]  # polars types mean() as any value

    @property
    def peak(self) -> float:
        """The most calls in progress that a bucket has on average."""
        return float(self.rows["in_progress"].max() or 0.0)  # type: ignore[arg-type]  # likewise

    @cached_property
    def length_s(self) -> float:
        """Seconds of a bucket."""
        return BUCKETS_S[self.bucket]

    def levels(self) -> list[tuple[float, float, int]]:
        """Calls in progress, mean slowness, and buckets of time, by level of load: what `knee` is fitted to."""
        known = self.rows.drop_nulls("slowness")
        return load_levels(known["in_progress"].to_numpy(), known["slowness"].to_numpy())

    def knee(self, confidence: float, seed: int) -> Knee:
        """From how many calls in progress on average waits take longer."""
        known = self.rows.drop_nulls("slowness")
        load, slowness = known["in_progress"].to_numpy(), known["slowness"].to_numpy()
        block = np.arange(len(load)) * BLOCKS // max(len(load), 1)
        return find_knee(load, slowness, block, confidence=confidence, rng=np.random.default_rng(seed))


def loads_from_series(series: pl.LazyFrame | None) -> dict[str, RolledLoad]:
    """The load of each callee as pulled or sent metrics tell it; empty where there are none."""
    if series is None:
        return {}
    step_s = series.select(pl.col("step_s").max()).collect().item() or 0.0
    fine = next((bucket for bucket, length_s in BUCKETS_S.items() if length_s >= step_s), "1h")
    return loads_from_rollup(roll_up_series(series, keys=KEYS, bucket=fine, phases=tuple(WAITS)))


def loads_from_rollup(rollup: Rollup) -> dict[str, RolledLoad]:
    """The load of each callee from a rollup by `KEYS` in time buckets of a minute or so."""
    found = {}
    cells = rollup.pick_vantage().totals.with_columns(callee=pl.col("hop").str.split(">").list.last())
    for (callee,), part in sorted(cells.partition_by("callee", as_dict=True).items(), key=lambda item: str(item[0][0])):
        usual_s = _usual_s(part.filter(pl.col("phase") == "total"))
        if rollup.bucket is not None and usual_s:
            found[str(callee)] = _of_callee(part, _wide_enough(rollup.bucket, usual_s))
    return found


def _usual_s(total: pl.DataFrame) -> float | None:
    """Mean seconds of a call in the median bucket of time: when calls pile up they last long, and nothing is to be widened."""
    sums = total.group_by("start").agg(pl.col("sum_s", "count").sum()).filter(pl.col("count") > 0)
    return None if sums.is_empty() else sums.select((pl.col("sum_s") / pl.col("count")).median()).item()


def _wide_enough(bucket: str, mean_s: float) -> str:
    """A bucket that is long beside a call."""
    least_s = max(BUCKETS_S[bucket], LONG_BESIDE * mean_s)
    return next((name for name, length_s in BUCKETS_S.items() if length_s >= least_s), "1h")


def _of_callee(cells: pl.DataFrame, bucket: str) -> RolledLoad:
    at = cells.with_columns(pl.col("start").dt.truncate(bucket))
    total = at.filter(pl.col("phase") == "total").group_by("start").agg(pl.col("sum_s", "count").sum())
    in_progress = total.select("start", in_progress=pl.col("sum_s") / BUCKETS_S[bucket], calls="count")
    phase, waited = _waited(at)
    kinds = waited.group_by("start", *KEYS).agg(pl.col("sum_s", "count").sum()).filter(pl.col("count") > 0)
    loaded = kinds.join(in_progress.drop("calls"), on="start")
    low = pl.col("in_progress") <= pl.col("in_progress").quantile(LOW_SHARE)
    calm = (
        loaded.filter(low).group_by(KEYS).agg(calm_s=pl.col("sum_s").sum() / pl.col("count").sum(), seen=pl.col("count").sum())
    )
    known = loaded.join(calm.filter((pl.col("seen") >= FEWEST_OF_KIND) & (pl.col("calm_s") > 0)), on=KEYS, nulls_equal=True)
    slower = known.group_by("start").agg(
        slowness=(pl.col("sum_s") / pl.col("calm_s")).sum() / pl.col("count").sum(),
    )
    rows = in_progress.filter(pl.col("calls") > 0).join(slower, on="start", how="left").sort("start")
    held_s = at.filter(pl.col("phase") == "total").group_by("hop").agg(pl.col("sum_s").sum()).sort("hop")
    return RolledLoad(rows, dict(held_s.iter_rows()), WAITS[phase], bucket)


def _waited(cells: pl.DataFrame) -> tuple[Phase, pl.DataFrame]:
    """The best phase that tells how long calls waited, and its cells."""
    for phase in WAITS:
        found = cells.filter((pl.col("phase") == phase) & pl.col("event") & (pl.col("sum_s") > 0))
        if not found.is_empty():
            return phase, cells.filter((pl.col("phase") == phase) & (pl.col("event") | (pl.col("count") == 0)))
    return "total", cells.filter(pl.col("phase") == "total")
