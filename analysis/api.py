"""The verbs of the command line as methods of an opened store: `open_store(path).report(by=["hop"])`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from meshslo.telemetry.errors import BadConfigError, BadInputError, StoreError
from meshslo.telemetry.schema import conform
from meshslo.telemetry.vocabulary import PHASES, Phase

from .backtest import BY as BACKTEST_BY
from .backtest import Backtest, Split, backtest
from .config import Config, Limits
from .deadlines import Pile, find_piles
from .doctor import Diagnosis, examine
from .metrics import roll_up_series
from .policy.deployed import Deployed
from .recommend import Observed, Recommendations, need_calls, observe, recommend
from .reporting import Reporting
from .resilience import Resilience, resilience
from .rollup import KEYS, Rollup, roll_up_in
from .scope import Scope
from .security import Security, security
from .slo.objective import NO_OBJECTIVES, SELECTION
from .slo.status import Asked, Evidence, SloReport, slo
from .spread import Places, added, of_rollup
from .verbs import Scan, Verbs, check_list

if TYPE_CHECKING:
    from meshslo.telemetry.sources.frames import Added
    from meshslo.telemetry.store import Appended

Series = Callable[[datetime | None, datetime | None], pl.LazyFrame | None]
"""Pulled metric series (`telemetry.store.metrics.SERIES`) with their steps in [since, until); None where there are none."""

Bounds = tuple[datetime | None, datetime | None]


@dataclass(frozen=True)
class CallStore(Reporting, Verbs):
    """Calls to ask questions of. Nothing is cached: each verb reads what it needs."""

    scan: Scan
    name: str
    limits: Limits = Limits()  # noqa: RUF009 - a frozen value
    series: Series | None = None
    append: "Callable[[pl.DataFrame], Appended] | None" = field(default=None, kw_only=True)
    """Takes canonical call rows; None where the calls are read in place."""

    def add(self, frame: Any) -> "Added":
        """Add the calls of a Polars or pandas frame, whose columns are those of a calls file; one added twice counts once.

        A row that is no call is refused, with a reason, and its neighbours are kept. BadInputError where the frame is no table
        of calls, or these calls are read in place.
        """
        from meshslo.telemetry.sources.frames import add_frame

        if self.append is None:
            raise BadInputError(f"{self.name}: nothing can be added here; open a directory with open_store(path, create=True)")
        return add_frame(self.append, frame)

    def rollup(
        self,
        *,
        by: Sequence[str] = KEYS,
        bucket: str | None = "1m",
        phases: Sequence[Phase] = PHASES,
        since: datetime | None = None,
        until: datetime | None = None,
        extremes: bool = True,
    ) -> Rollup:
        """Histograms of the calls in [since, until) by time bucket, vantage and the keys `by`; pulled metrics are a vantage.

        Without `extremes` the totals may lack exact sums, shortest and longest durations, which can spare a second pass.
        """
        check_list("by", by)
        return self.count(Scope(tuple(by), bucket, tuple(phases), since, until, extremes))

    def count(self, scope: Scope) -> Rollup:
        """See `rollup`."""
        calls, metrics = self._count_calls(scope), self._count_series(scope)
        return calls if metrics is None else calls.merge(metrics)

    def _count_calls(self, scope: Scope) -> Rollup:
        """The rollup of the calls alone."""
        return roll_up_in(self.scan(scope.since, scope.until), scope)

    def _count_series(self, scope: Scope) -> Rollup | None:
        """The rollup of pulled metrics alone; None where there are none."""
        series = self._series(scope.since, scope.until)
        if series is None:
            return None
        return roll_up_series(series, keys=scope.keys, bucket=scope.bucket, phases=scope.phases)

    def _series(self, since: datetime | None, until: datetime | None) -> pl.LazyFrame | None:
        """The pulled metric series of [since, until); None where there are none."""
        return None if self.series is None else self.series(since, until)

    def spread(self, scope: Scope, places: Places) -> pl.DataFrame:
        """Calls and long calls of the one phase of `scope`, by group and time bucket; see `spread`."""
        metrics = self._count_series(scope)
        return added([*self._spread_calls(scope, places), *([] if metrics is None else [of_rollup(metrics, places)])])

    def _spread_calls(self, scope: Scope, places: Places) -> Iterator[pl.DataFrame]:
        """The same of the calls alone, in parts."""
        yield of_rollup(self._count_calls(scope), places)

    def recommend(
        self,
        kinds: Sequence[str] = (),
        *,
        config: Config | None = None,
        deployed: Deployed | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Recommendations:
        """The settings that the calls in [since, until) justify: of the given kinds ("timeouts", "retries"), else of all.

        `deployed` is what manifests in use say (`policy.deployed.read_deployed`). Raises StoreError where the window holds
        no calls, BadInputError for a kind that there is not.
        """
        check_list("kinds", kinds)
        found = self.observe(config, deployed, since=since, until=until, needs_calls=need_calls(kinds))
        return recommend(found, kinds)

    def observe(
        self,
        config: Config | None = None,
        deployed: Deployed | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        needs_calls: bool = False,
    ) -> Observed:
        """The evidence that recommendations rest on: calls and metrics of [since, until).

        StoreError with `needs_calls` where the window holds metrics and no single calls.
        """
        calls = (self.need_calls if needs_calls else self.scan)(since, until)
        return observe(calls, config, deployed, self._series(since, until))

    def resilience(
        self,
        *,
        config: Config | None = None,
        deployed: Deployed | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Resilience:
        """Calls in progress and the knee by callee, pods and whom a detector would eject, zones, of calls in [since, until).

        Of metrics alone, loads. Raises StoreError where the window holds neither.
        """
        self.extent(since, until)
        return resilience(self.observe(config, deployed, since=since, until=until))

    def backtest(
        self,
        *,
        split: Split = 0.7,
        by: Sequence[str] = BACKTEST_BY,
        config: Config | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Backtest:
        """Timeouts fitted on the first part of the calls in [since, until), judged on the rest, beside naive rules.

        Raises StoreError where the window holds no calls, BadInputError for a split that leaves nothing to fit or to judge.
        """
        check_list("by", by)
        return backtest(self.need_calls(since, until), config, split=split, by=by)

    def doctor(self, *, since: datetime | None = None, until: datetime | None = None) -> Diagnosis:
        """What the calls in [since, until) can bear: who saw each hop, what is set, vantages that contradict each other."""
        rollup = self.rollup(by=("hop",), bucket=None, phases=("total",), since=since, until=until)
        return examine(self.scan(since, until), rollup, self._series(since, until))

    def security(
        self, *, config: Config | None = None, since: datetime | None = None, until: datetime | None = None
    ) -> Security:
        """Who called whom in [since, until), encrypted or not, with which identity; hosts outside; what of it is exposed.

        Raises StoreError where the window holds neither calls nor metrics.
        """
        extent = self.extent(since, until)
        return security(self.scan(since, until), config or Config(), extent, self._series(since, until))

    def slo(self, config: Config, *, at: datetime | None = None, each: Sequence[str] = ()) -> SloReport:
        """How the objectives of `config` (its `slo` tables) stand at `at`, just after the last call where it is not given.

        With `each` (of route, model, tenant) an objective that leaves these open stands once for each value there is.
        Raises BadConfigError where the config has no objective, BadInputError for other keys, StoreError where the store
        holds no calls until then.
        """
        if not config.slo:
            raise BadConfigError(NO_OBJECTIVES)
        last = self.extent(None, at)[1]
        wrong = [key for key in each if key not in SELECTION[1:]]
        if wrong:
            raise BadInputError(f"objectives stand for each of {', '.join(SELECTION[1:])}, not of {', '.join(wrong)}")
        moment = last + timedelta(microseconds=1) if at is None else at
        return slo(Evidence(self.scan, self.series, self._piles), config.slo, Asked(moment, tuple(dict.fromkeys(each))))

    def _piles(self, since: datetime, until: datetime) -> tuple[Pile, ...]:
        """Hidden deadlines of the calls that started in [since, until), by hop and route."""
        return find_piles(self.count(Scope(("hop", "route"), None, ("total",), since, until, extremes=False)))

    def _starts(self, since: datetime | None, until: datetime | None) -> Bounds:
        """First and last start of a call in [since, until), None where there is none."""
        return bounds_of(self.scan(since, until))

    def need_calls(self, since: datetime | None, until: datetime | None) -> pl.LazyFrame:
        """`scan`, once: StoreError where the window holds no single calls; pulled metrics are none."""
        self.extent(since, until)
        calls = self.scan(since, until)
        if calls.head(1).collect().is_empty():
            raise StoreError(
                f"{self.name} holds metrics and no single calls there: they make a `report`, but settings follow from calls; "
                f"send spans with `meshslo collect --store {self.name}`, or read some with `meshslo import` or "
                "`meshslo pull jaeger|tempo`"
            )
        return calls

    def extent(self, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
        """First and last start of a call in [since, until); StoreError where there is none."""
        start = pl.col("start")
        bounds = [self._starts(since, until)]
        series = self._series(since, until)
        if series is not None:
            steps = start.list.min().min().alias("first"), start.list.max().max().alias("last")
            bounds.append(series.select(steps).collect().row(0))
        known = [(first, last) for first, last in bounds if first is not None and last is not None]
        if known:
            return min(first for first, _ in known), max(last for _, last in known)
        if since is None and until is None:
            raise StoreError(
                f"{self.name} holds no calls yet: send it spans with `meshslo collect --store {self.name}`, "
                f"read files with `meshslo import FILE --store {self.name}`, "
                f"or a server with `meshslo pull prometheus URL --store {self.name}`"
            )
        first, last = self.extent(None, None)
        window = f"[{since or 'the beginning'}, {until or 'now'})"
        raise StoreError(f"{self.name}: no calls started in {window}; its calls started from {first} to {last}")


def bounds_of(calls: pl.LazyFrame) -> Bounds:
    """First and last start of `calls`, None where there are none."""
    start = pl.col("start")
    first, last = calls.select(start.min().alias("first"), start.max().alias("last")).collect().row(0)
    return first, last


def open_store(
    path: str | PathLike[str],
    *,
    limits: Limits = Limits(),  # noqa: B008 - a frozen value
    create: bool = False,
) -> CallStore:
    """The store at `path`: a directory, or clickhouse://HOST:PORT/DB?table=otel_traces, read where it is.

    With `create` an absent or empty directory becomes a store. StoreError where there is none, SourceError where no server
    answers.
    """
    if str(path).startswith(("clickhouse:", "chdb:")):
        from .clickhouse import open_calls

        return open_calls(str(path), limits)
    from .directory import open_directory

    return open_directory(Path(path), limits, create=create)


def from_calls(calls: pl.DataFrame, *, limits: Limits = Limits()) -> CallStore:  # noqa: B008 - a frozen value
    """A store of the calls in a frame (any subset of a call's columns with the required ones), for tests and notebooks."""
    rows = conform(calls)

    def scan(since: datetime | None, until: datetime | None) -> pl.LazyFrame:
        chosen = rows.lazy()
        if since is not None:
            chosen = chosen.filter(pl.col("start") >= since)
        return chosen if until is None else chosen.filter(pl.col("start") < until)

    return CallStore(scan, "calls in memory", limits)
