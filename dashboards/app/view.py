"""The store under the filters of the moment: what pages ask. Answers are kept until the store changes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Self

import polars as pl

from meshslo.analysis.cardinality import fold_tail
from meshslo.analysis.doctor import Diagnosis
from meshslo.analysis.recommend import Observed, Recommendations
from meshslo.analysis.recommend.recommendation import Target
from meshslo.analysis.report import report
from meshslo.analysis.rollup import KEYS, Rollup
from meshslo.analysis.slo.objective import Objective
from meshslo.analysis.slo.status import SloReport
from meshslo.analysis.streams import cut_reasons, stream_costs
from meshslo.dashboards.buckets import bucket_for
from meshslo.telemetry.errors import StoreError
from meshslo.telemetry.vocabulary import Phase

from . import answers
from .answers import Asked
from .filters import Filters


@dataclass(frozen=True)
class View:
    """What is asked of (`asked`: the store, its version, the window) and what of it is shown (`filters`)."""

    asked: Asked
    filters: Filters

    def every_hop(self) -> Self:
        """The same with all hops: the picture of the chain keeps them in sight."""
        return replace(self, filters=self.filters.with_every_hop())

    def require_calls(self) -> None:
        """StoreError, with the way out, where the window holds no calls at all."""
        answers.extent(self.asked)

    @cached_property
    def extent(self) -> tuple[datetime, datetime]:
        """First and last start of a call in the window; StoreError where it holds none."""
        return answers.extent(self.asked)

    @cached_property
    def bucket(self) -> str:
        """The width of time buckets that suits the window."""
        first, last = self.extent
        return bucket_for(last - first)

    def rollup(self, phase: Phase, *, keys: Sequence[str] = (), timed: bool = False) -> Rollup:
        """The rollup of what is shown, by `KEYS` and `keys`, each hop from its outermost vantage; `timed`: in time buckets.

        StoreError where nothing is left.
        """
        every = tuple(dict.fromkeys([*KEYS, *keys]))
        whole = answers.rollup(self.asked, phase, every, self.bucket if timed else None)
        shown = whole.where(self.filters.condition()).pick_vantage()
        if shown.totals.is_empty():
            raise StoreError(f"no calls of {self.filters.words() or 'this store'} in this window: widen or reset the filters")
        return shown

    def report(
        self, by: Sequence[str], *, phase: Phase = "total", quantiles: Sequence[float] = (0.5, 0.95, 0.99), timed: bool = False
    ) -> pl.DataFrame:
        """The frame of `analysis.report` for what is shown, with a start for each row where `timed`."""
        limits = answers.config(self.asked).limits
        most = {"route": limits.routes, "tenant": limits.tenants, "model": limits.models}
        bounded, _ = fold_tail(self.rollup(phase, keys=by, timed=timed).by(by), most)
        return report(bounded, phase=phase, quantiles=quantiles)

    def values(self, key: str) -> list[str | None]:
        """Values of `key` among all calls of the window, filtered or not."""
        whole = answers.rollup(self.asked, "total", KEYS, None)
        return list(whole.totals[key].unique().sort(nulls_last=True))

    def calls(self) -> pl.LazyFrame:
        """The calls that are shown, as rows."""
        return answers.calls(self.asked).filter(self.filters.condition())

    def streams(self, by: Sequence[str]) -> pl.DataFrame:
        """`analysis.streams.stream_costs` of what is shown."""
        return stream_costs(self.calls(), by)

    def cuts(self, by: Sequence[str]) -> pl.DataFrame:
        """`analysis.streams.cut_reasons` of what is shown."""
        return cut_reasons(self.calls(), by)

    def recommendations(self, budget: float | None = None) -> Recommendations:
        """What the window's calls justify, at the config's false-timeout budget or another; those of what is shown."""
        found = answers.recommendations(self.asked, budget)
        return replace(found, items=tuple(item for item in found.items if self._shows(item.target)))

    def observed(self) -> Observed:
        """The evidence behind the recommendations."""
        return answers.observed(self.asked, None)

    def objectives(self) -> SloReport:
        """How the config's objectives stand at the window's end, each over its own window; those of what is shown."""
        found = answers.objectives(self.asked)
        return replace(found, standings=tuple(each for each in found.standings if self._shows(each.objective)))

    def diagnosis(self) -> Diagnosis:
        """What `doctor` says of the whole window."""
        return answers.diagnosis(self.asked)

    def _shows(self, target: Target | Objective) -> bool:
        """Whether a target or objective is among what is shown; one for all routes, models or tenants always is."""
        return all(
            not getattr(self.filters, key) or getattr(target, key, None) in (None, *getattr(self.filters, key)) for key in KEYS
        )
