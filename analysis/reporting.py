"""The verb `report` of a store, which counts where its calls lie."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

import polars as pl

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.vocabulary import VANTAGES, Phase, Vantage

from .cardinality import fold_tail
from .config import Limits
from .deadlines import cut_rollup, find_piles
from .report import Report, report
from .rollup import KEYS, Rollup
from .scope import Scope
from .spread import Blocks, Places, look_with, why_independent
from .verbs import check_list, check_quantiles


class Reporting:
    """What a report asks of a store; `analysis.api.CallStore` is one."""

    name: str
    limits: Limits

    looks_at: ClassVar[int] = 10_000_000
    """Bursts are looked at in a report of so many calls at most, unless it is asked for: that takes a pass of its own."""

    @abstractmethod
    def count(self, scope: Scope) -> Rollup:
        """See CallStore."""

    @abstractmethod
    def spread(self, scope: Scope, places: Places) -> pl.DataFrame:
        """See CallStore."""

    @abstractmethod
    def extent(self, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
        """See CallStore."""

    def still(self) -> "Reporting":
        """The store as it is now, where it changes and is asked more than once."""
        return self

    def report(
        self,
        *,
        by: Sequence[str] = KEYS,
        phase: Phase = "total",
        quantiles: Sequence[float] = (0.95, 0.99),
        since: datetime | None = None,
        until: datetime | None = None,
        vantage: Vantage | None = None,
        bursts: bool | None = None,
    ) -> Report:
        """Outcomes and quantiles of `phase` of each group `by`, of the calls that started in [since, until).

        Of each hop the outermost vantage that saw the phase is taken, or `vantage` alone. Intervals are as wide as bursts of
        calls make them (`bursts`; None: where that is quick, see `spread.why_independent`). Raises StoreError where the window
        holds no calls, BadInputError for keys, phases or quantiles that there are not.
        """
        check_list("by", by)
        _check(by, quantiles, vantage)
        calls = self.still()
        first, last = calls.extent(since, until)
        kept = tuple(dict.fromkeys(by))
        keys = tuple(dict.fromkeys([*kept, "hop"]))
        scope = Scope(keys, None, (phase,), since, until, extremes=False)
        whole = calls.count(scope)
        seen = whole.pick_vantage() if vantage is None else whole.where(pl.col("vantage") == vantage)
        if seen.totals.is_empty():
            there = ", ".join(whole.vantages()) or "none"
            raise BadInputError(f"{self.name}: {phase} was not seen from vantage {vantage or 'any'}; there are {there}")
        limits = {"route": self.limits.routes, "tenant": self.limits.tenants, "model": self.limits.models}
        piles = find_piles(seen) if phase == "total" else ()
        bounded, folds = fold_tail(cut_rollup(seen, piles).by(kept), limits)
        blocks = Blocks.of(first, last)
        independent = why_independent(seen.calls, self.looks_at, blocks, bursts)
        look = look_with(calls.spread, seen, bounded, scope, blocks) if independent is None else None
        frame = report(bounded, phase=phase, quantiles=quantiles, look=look)
        return Report(frame, kept, phase, since or first, until or last, folds, piles, independent)


def _check(by: Sequence[str], quantiles: Sequence[float], vantage: str | None) -> None:
    check_quantiles(quantiles)
    if vantage is not None and vantage not in VANTAGES:
        raise BadInputError(f"vantage {vantage!r} is none of {', '.join(VANTAGES)}")
    if not by:
        raise BadInputError("nothing to report by: name at least one key, such as hop")
