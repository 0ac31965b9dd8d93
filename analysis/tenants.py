"""A store as somebody sees it who may see some tenants only: no verb of it reads another tenant's calls."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from .api import Bounds, CallStore, bounds_of
from .folding import Rollup
from .scope import Scope
from .spread import Places

if TYPE_CHECKING:
    from .api import Series


@dataclass(frozen=True)
class TenantCalls(CallStore):
    """The calls of some tenants of a store, to read and not to add to; calls without a tenant are nobody's."""

    whole: CallStore | None = None
    tenants: tuple[str, ...] = ()

    def count(self, scope: Scope) -> Rollup:
        """See CallStore. Counted by the whole store, wherever it counts, by tenant; then the others' are left out."""
        assert self.whole is not None, "made by of_tenants"  # noqa: S101 - a default only since base fields have some
        everything = self.whole.count(replace(scope, keys=tuple(dict.fromkeys([*scope.keys, "tenant"]))))
        return everything.where(_of(self.tenants)).by(scope.keys)

    def spread(self, scope: Scope, places: Places) -> pl.DataFrame:
        """See CallStore. Spread by the whole store, by tenant."""
        assert self.whole is not None, "made by of_tenants"  # noqa: S101 - a default only since base fields have some
        if "tenant" in scope.keys:
            return self.whole.spread(scope, places)
        return self.whole.spread(replace(scope, keys=(*scope.keys, "tenant")), places.split_by("tenant", self.tenants))

    def _starts(self, since: datetime | None, until: datetime | None) -> Bounds:
        """From the calls of the first and of the last hour that these tenants have any in."""
        hours = self.rollup(by=("tenant",), bucket="1h", phases=("total",), since=since, until=until, extremes=False)
        starts = hours.totals.filter(pl.col("vantage") != "metric")["start"].sort()
        if starts.is_empty():
            return None, None
        known = [bounds_of(self.scan(*self._within(hour, since, until))) for hour in (starts[0], starts[-1])]
        return known[0][0], known[1][1]

    @staticmethod
    def _within(hour: datetime, since: datetime | None, until: datetime | None) -> Bounds:
        end = hour + timedelta(hours=1)
        return (hour if since is None else max(hour, since)), (end if until is None else min(end, until))


def of_tenants(store: CallStore, tenants: Collection[str]) -> TenantCalls:
    """`store` with the calls and metrics of `tenants` alone."""
    chosen = tuple(sorted(tenants))

    def scan(since: datetime | None, until: datetime | None) -> pl.LazyFrame:
        return store.scan(since, until).filter(_of(chosen))

    return TenantCalls(scan, store.name, store.limits, _series(store, chosen), whole=store, tenants=chosen)


def _series(store: CallStore, tenants: tuple[str, ...]) -> "Series | None":
    every = store.series
    if every is None:
        return None

    def series(since: datetime | None, until: datetime | None) -> pl.LazyFrame | None:
        found = every(since, until)
        return None if found is None else found.filter(_of(tenants))

    return series


def _of(tenants: tuple[str, ...]) -> pl.Expr:
    return pl.col("tenant").is_in(list(tenants)).fill_null(value=False)
