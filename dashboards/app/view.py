"""The store under the filters of the moment: what pages ask. Answers are kept until the store changes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Self

import polars as pl

from meshslo.analysis.canary import Arms, Canary
from meshslo.analysis.cardinality import fold_tail
from meshslo.analysis.comparison import Compared
from meshslo.analysis.concurrency import in_progress_by_bucket
from meshslo.analysis.deadlines import Pile, cut_rollup, find_piles
from meshslo.analysis.doctor import Diagnosis
from meshslo.analysis.paths import Chain
from meshslo.analysis.recommend import Observed, Recommendations
from meshslo.analysis.recommend.recommendation import Target
from meshslo.analysis.report import report
from meshslo.analysis.resilience import Resilience
from meshslo.analysis.rollup import KEYS, Rollup
from meshslo.analysis.scope import Scope
from meshslo.analysis.security import Security
from meshslo.analysis.simulate import Simulation
from meshslo.analysis.slo.objective import Objective
from meshslo.analysis.slo.status import SloReport
from meshslo.analysis.spread import Blocks, Look, Places, look_with, why_independent
from meshslo.dashboards.buckets import bucket_for
from meshslo.telemetry.errors import StoreError
from meshslo.telemetry.vocabulary import Phase

from . import answers
from .answers import Asked, Sides
from .bursts import spread
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

    def has_calls(self) -> bool:
        """Whether the window holds single calls, and not metrics alone."""
        return any(each != "metric" for each in self._hops.vantages())

    @cached_property
    def calls(self) -> int:
        """Rows of calls in the window, one for each vantage of a call, as single calls are read."""
        return int(self._hops.totals.filter(pl.col("vantage") != "metric")["count"].sum())

    def seen(self) -> pl.DataFrame:
        """Hop, vantage and calls of the whole window, whatever is filtered."""
        counted = self._hops.totals.group_by("hop", "vantage").agg(pl.col("count").sum().alias("calls"))
        return counted.sort("hop", "vantage")

    @property
    def _hops(self) -> Rollup:
        """Every hop and vantage of the window, whatever is filtered."""
        return answers.rollup(self.asked, "total", ("hop",), None)

    @cached_property
    def extent(self) -> tuple[datetime, datetime]:
        """First and last start of a call in the window; StoreError where it holds none."""
        return answers.extent(self.asked)

    @cached_property
    def bucket(self) -> str:
        """The width of time buckets that suits the window."""
        first, last = self.extent
        return bucket_for(last - first)

    def rollup(self, phase: Phase, *, keys: Sequence[str] = ("hop",), timed: bool = False) -> Rollup:
        """The rollup of what is shown by `keys` and hop, each hop from its outermost vantage; `timed`: in time buckets.

        Calls at a hidden deadline count as cut, as in `report`. StoreError where nothing is left.
        """
        kept = tuple(dict.fromkeys([*keys, "hop"]))
        return cut_rollup(self._counted(phase, kept, self.bucket if timed else None), self.piles(phase, kept))

    def piles(self, phase: Phase, keys: Sequence[str] = ("hop",)) -> tuple[Pile, ...]:
        """Hidden deadlines of what is shown: calls that ended at one value without a word of a timer."""
        return find_piles(self._counted(phase, tuple(keys), None)) if phase == "total" else ()

    def _counted(self, phase: Phase, keys: tuple[str, ...], bucket: str | None) -> Rollup:
        return self._chosen(phase, keys, bucket).by(keys)

    def _chosen(self, phase: Phase, keys: tuple[str, ...], bucket: str | None) -> Rollup:
        """What is shown by `keys`, the hop and what is filtered by."""
        # No more keys than are asked for or filtered: folding days of thousands of groups takes seconds.
        needed = sorted({"hop", *keys, *self.filters.keys()}, key=lambda key: (key not in KEYS, [*KEYS, key].index(key), key))
        whole = answers.rollup(self.asked, phase, tuple(needed), bucket)
        chosen = whole.where(self.filters.condition()).pick_vantage()
        if chosen.totals.is_empty():
            raise StoreError(f"no calls of {self.filters.words() or 'this store'} in this window: widen or reset the filters")
        return chosen

    def report(
        self,
        by: Sequence[str],
        *,
        phase: Phase = "total",
        quantiles: Sequence[float] = (0.5, 0.95, 0.99),
        timed: bool = False,
        bursts: bool = True,
    ) -> pl.DataFrame:
        """The frame of `analysis.report` for what is shown, with a start for each row where `timed`.

        `bursts`: widen intervals by them, which goes through all hours of the window; a picture without intervals need not.
        """
        limits = answers.config(self.asked).limits
        most = {"route": limits.routes, "tenant": limits.tenants, "model": limits.models}
        bounded, _ = fold_tail(self.rollup(phase, keys=by, timed=timed).by(by), most)
        look = None if timed or not bursts or self.independent(phase) else self._look(bounded, phase, tuple(quantiles))
        return report(bounded, phase=phase, quantiles=quantiles, look=look)

    def independent(self, phase: Phase) -> str | None:
        """Why `report` takes calls for independent, as it does those of time buckets; None where it looks at their bursts."""
        calls = self._chosen(phase, ("hop",), None).calls
        return why_independent(calls, answers.opened(self.asked).looks_at, self._blocks, None)

    @property
    def _blocks(self) -> Blocks:
        return Blocks.of(*self.extent)

    def _look(self, told: Rollup, phase: Phase, quantiles: tuple[float, ...]) -> Look:
        def ask(scope: Scope, places: Places) -> pl.DataFrame:
            return spread(self.asked, scope, (self.filters, told.keys, quantiles), places)

        scope = Scope((), None, (phase,), self.asked.since, self.asked.until, extremes=False)
        return look_with(ask, self._chosen(phase, told.keys, None), told, scope, self._blocks)

    def values(self, key: str) -> list[str | None]:
        """Values of `key` among all calls of the window, filtered or not."""
        whole = answers.rollup(self.asked, "total", tuple(dict.fromkeys([*KEYS, key])), None)
        return list(whole.totals[key].unique().sort(nulls_last=True))

    def chain(self) -> Chain:
        """`store.chain` of the traces that hold a call of what is shown, whatever hop is chosen."""
        return answers.chain(self.asked, self.filters.with_every_hop())

    def streams(self, by: Sequence[str]) -> pl.DataFrame:
        """`analysis.streams.stream_costs` of what is shown."""
        return answers.streams(self.asked, self.filters, tuple(by))

    def cuts(self, by: Sequence[str]) -> pl.DataFrame:
        """`analysis.streams.cut_reasons` of what is shown."""
        return answers.cuts(self.asked, self.filters, tuple(by))

    def rates(self, by: Sequence[str]) -> pl.DataFrame:
        """`analysis.rates.token_rates` of what is shown."""
        return answers.rates(self.asked, self.filters, tuple(by))

    def comparison(self, sides: Sides, phase: Phase) -> Compared:
        """`store.compare` of what is shown: two values of a key, or this window and the one that is the baseline."""
        return answers.comparison(self.asked, self.filters, sides, phase)

    def simulation(self, budget: float | None) -> Simulation:
        """`store.simulate` of the whole window under what is recommended at a false-timeout budget; hops that are shown."""
        found = answers.simulation(self.asked, budget)
        hops = self.filters.hop
        return replace(found, rows=tuple(row for row in found.rows if not hops or row.keys["hop"] in hops))

    def recommendations(self, budget: float | None = None) -> Recommendations:
        """What the window's calls justify, at the config's false-timeout budget or another; those of what is shown."""
        found = answers.recommendations(self.asked, budget)
        return replace(found, items=tuple(item for item in found.items if self._shows(item.target)))

    def observed(self) -> Observed:
        """The evidence behind the recommendations."""
        return answers.observed(self.asked, None)

    def objectives(self, *each: str) -> SloReport:
        """How the config's objectives stand at the window's end, each over its own window; those of what is shown.

        With `each` (of route, model, tenant) once for each value there is.
        """
        found = answers.objectives(self.asked, each)
        return replace(found, standings=tuple(each for each in found.standings if self._shows(each.objective)))

    def security(self) -> Security:
        """Who calls whom in the whole window, and what is exposed; edges of the hops that are shown."""
        found = answers.security(self.asked)
        hops = self.filters.hop
        return replace(found, edges=tuple(each for each in found.edges if not hops or f"{each.caller}>{each.callee}" in hops))

    def diagnosis(self) -> Diagnosis:
        """What `doctor` says of the whole window."""
        return answers.diagnosis(self.asked)

    def in_progress(self) -> pl.DataFrame:
        """`analysis.concurrency.in_progress_by_bucket` of what is shown, from rollups however many calls there are."""
        return in_progress_by_bucket(self.rollup("total", timed=True))

    def resilience(self) -> Resilience:
        """`store.resilience` of the whole window; of the hops that are shown."""
        found = answers.resilience(self.asked)
        return found.of_hops(self.filters.hop) if self.filters.hop else found

    def canary(self, arms: Arms) -> Canary:
        """`store.canary` of what is shown."""
        return answers.canary(self.asked, self.filters, arms)

    def _shows(self, target: Target | Objective) -> bool:
        """Whether a target or objective is among what is shown; one for all routes, models or tenants always is."""
        return all(
            not getattr(self.filters, key) or getattr(target, key, None) in (None, *getattr(self.filters, key)) for key in KEYS
        )
