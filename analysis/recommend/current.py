"""Which timer is at work now: read from manifests, else inferred from where calls pile up; and how many calls each cut."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import polars as pl

from meshslo.analysis.bursts import Group
from meshslo.analysis.deadlines import likely, owners

from .observed import KEYS, Observed
from .recommendation import Current, Target
from .words import count, seconds

IDLE_FLAG: Final = "SI"
"""Envoy's response flag of an idle timer; every other timer's counts for the whole call."""

PILE_SHARE: Final = 0.8
PILE_CALLS: Final = 5
"""So many cut calls, and such a share of them, must end at one duration to call it a timer."""

PILE_WIDTH_RATIO: Final = 0.02
PILE_WIDTH_S: Final = 0.02
"""Endings of one timer lie within this of their median: timers fire late by some milliseconds, never early."""

SAME_TIMER: Final = {"first_token_timeout": "per_try_timeout"}
"""Settings that meshes have no field for, and the field that stands in."""


@dataclass(frozen=True, eq=False)
class Timers:
    """Timers of the observed targets."""

    observed: Observed

    def current(self, setting: str, target: Target) -> Current | None:
        """The value at work now; None where no timer is known."""
        deployed = self.observed.deployed
        placed = deployed.find(SAME_TIMER.get(setting, setting), target.callee, target.route, target.model)
        if placed is not None:
            return Current.read(placed)
        if deployed.knows(target.callee):
            return None
        # A timer seldom knows models: where a model's own calls show none, the route's do.
        return self._inferred(setting, target) or self._inferred(setting, replace(target, model=None))

    def cut_by(self, setting: str, target: Target) -> int:
        """Calls that ended because a timer of this kind fired: here or, for the total, at a caller further out.

        A caller's timer cuts the calls inside as well; to them it is as if their own had fired. Where no timer is known here
        the calls that ended by one were cut further in (a 504 passed on), and raising a timer here would show nothing.
        """
        here = self.cut_here(setting, target)
        return here + self._sum(target, "cut_above") if setting == "total_timeout" else here

    def cut_here(self, setting: str, target: Target) -> int:
        """Calls that the target's own timer of this kind cut."""
        counted = {"total_timeout": "cut_total", "idle_gap_timeout": "cut_idle", "per_try_timeout": "cut_headers"}.get(setting)
        return self._sum(target, counted) if counted and self.current(setting, target) is not None else 0

    def _inferred(self, setting: str, target: Target) -> Current | None:
        column = {"total_timeout": "total_s", "idle_gap_timeout": "idle_s"}.get(setting)
        places = [place for place in self._cut if place[:2] == (target.hop, target.route) and target.model in (None, place[2])]
        if column is None or not places:
            return None
        ended = pl.concat([self._cut[place][column] for place in places]).drop_nulls()
        if len(ended) < PILE_CALLS:
            return None
        middle_s = float(ended.median())  # type: ignore[arg-type]  # polars types median() as any temporal value too
        near = int(((ended - middle_s).abs() <= max(PILE_WIDTH_S, PILE_WIDTH_RATIO * middle_s)).sum())
        if near < PILE_SHARE * len(ended):
            return None
        value_s = float(f"{middle_s:.2g}")
        whose = f", {likely(middle_s)}" if owners(middle_s) else ""
        return Current(
            value_s, "s", f"inferred: {count(near)} of {count(len(ended))} cut calls ended at {seconds(value_s)}{whose}"
        )

    @cached_property
    def _cut(self) -> dict[Group, pl.DataFrame]:
        """Calls that their own hop's timer cut, with how long each kind of timer had run."""
        is_idle = pl.col("response_flags").fill_null("").str.split(",").list.contains(IDLE_FLAG)
        cut = (
            self._cut_short.filter(pl.col("outcome") == "timeout")
            .select(
                *KEYS,
                pl.when(~is_idle).then("duration_s").alias("total_s"),
                pl.when(is_idle).then("open_gap_s").alias("idle_s"),
            )
            .collect()
        )
        return {(str(hop), route, model): part for (hop, route, model), part in cut.partition_by(KEYS, as_dict=True).items()}

    @cached_property
    def _counts(self) -> dict[tuple[str, str | None], list[tuple[str | None, dict[str, int]]]]:
        """Of each hop and route, the model and the calls that were cut by what, for each of its models that has any."""
        flags = pl.col("response_flags").fill_null("").str.split(",").list
        is_cut, is_idle = pl.col("outcome") == "timeout", flags.contains(IDLE_FLAG)
        chain_cut = is_cut.any().over("trace_id")
        counted = (
            self._cut_short.with_columns(chain_cut.alias("chain_cut"))
            .group_by("hop", "route", "model")
            .agg(
                (is_cut & ~is_idle).sum().alias("cut_total"),
                (is_cut & is_idle).sum().alias("cut_idle"),
                (is_cut & pl.col("first_byte_s").is_null()).sum().alias("cut_headers"),
                ((pl.col("outcome") == "cancelled") & pl.col("chain_cut")).sum().alias("cut_above"),
            )
            .collect()
        )
        names = counted.columns[3:]
        found: dict[tuple[str, str | None], list[tuple[str | None, dict[str, int]]]] = {}
        for hop, route, model, *cuts in counted.iter_rows():
            found.setdefault((hop, route), []).append((model, dict(zip(names, cuts, strict=True))))
        return found

    @cached_property
    def _cut_short(self) -> pl.LazyFrame:
        """One row a call that a timer or its caller ended: those of the vantage that the total is taken from."""
        total = self.observed.tables("total")
        seen = pl.DataFrame(
            [(hop, total.vantage(hop)) for hop in dict(self.observed.routes)],
            schema={"hop": pl.String, "vantage": pl.String},
            orient="row",
        )
        cut = self.observed.calls.filter(pl.col("outcome").is_in(["timeout", "cancelled"]))
        return cut.join(seen.lazy(), on=["hop", "vantage"], how="semi")

    def _sum(self, target: Target, name: str) -> int:
        models = self._counts.get((target.hop, target.route), [])
        return sum(counts[name] for model, counts in models if target.model in (None, model))
