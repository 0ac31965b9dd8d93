"""The verbs of the command line as methods of an opened store: `open_store(path).report(by=["hop"])`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path

import polars as pl

from meshslo.telemetry.schema import conform
from meshslo.telemetry.vocabulary import PHASES, Phase

from .rollup import KEYS, Rollup, roll_up

Scan = Callable[[datetime | None, datetime | None], pl.LazyFrame]
"""Call rows that started in [since, until); None is an open end."""


@dataclass(frozen=True)
class CallStore:
    """Calls to ask questions of. Nothing is cached: each verb reads what it needs."""

    scan: Scan
    name: str

    def rollup(
        self,
        *,
        by: Sequence[str] = KEYS,
        bucket: str | None = "1m",
        phases: Sequence[Phase] = PHASES,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Rollup:
        """Histograms of the calls in [since, until) by time bucket, vantage and the keys `by`."""
        return roll_up(self.scan(since, until), keys=by, bucket=bucket, phases=phases)


def open_store(path: str | PathLike[str]) -> CallStore:
    """The store at `path`, for reading; StoreError where there is none."""
    from meshslo.telemetry.store import open_store as open_files

    return CallStore(open_files(Path(path)).scan, str(path))


def from_calls(calls: pl.DataFrame) -> CallStore:
    """A store of the calls in a frame (any subset of a call's columns with the required ones), for tests and notebooks."""
    rows = conform(calls)

    def scan(since: datetime | None, until: datetime | None) -> pl.LazyFrame:
        chosen = rows.lazy()
        if since is not None:
            chosen = chosen.filter(pl.col("start") >= since)
        return chosen if until is None else chosen.filter(pl.col("start") < until)

    return CallStore(scan, "calls in memory")
