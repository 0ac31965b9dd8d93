"""From calls, and metrics where there are some, to who calls whom and what is exposed."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import polars as pl

from meshslo.analysis.boundary import Side, sides
from meshslo.analysis.config import Config
from meshslo.analysis.doctor import SEVERITIES
from meshslo.analysis.recommend.callers import identified_calls, outside_calls, tenant_calls
from meshslo.analysis.recommend.egress import is_approved

from .findings import CHECKS, Seen
from .result import Edge, Host, Security


def security(
    calls: pl.LazyFrame, config: Config, window: tuple[datetime, datetime], series: pl.LazyFrame | None = None
) -> Security:
    """What `calls` (rows of `telemetry.schema`) and metric `series` say; `window` is when the first and the last began."""
    counted = identified_calls(calls, series)
    side = sides(counted["hop"].unique(), config.boundary)
    edges = tuple(_edges(counted, side))
    hosts = tuple(_hosts(outside_calls(calls, series), config.egress.approved_hosts))
    seen = Seen(edges, hosts, counted.filter(~pl.col("refused")), tenant_calls(calls), side)
    found = [finding for check in CHECKS for finding in check(seen)]
    found.sort(key=lambda finding: (-SEVERITIES.index(finding.severity), finding.code, finding.subject))
    return Security(edges, hosts, tuple(found), *window)


def _edges(counted: pl.DataFrame, side: dict[str, Side]) -> Iterator[Edge]:
    keys = ("caller", "callee", "caller_identity", "callee_identity", "seen_by")
    kinds = {"mutual": pl.col("mtls").eq(other=True), "plain": pl.col("mtls").eq(other=False), "refused": pl.col("refused")}
    of_kind = [pl.col("calls").filter(is_one).sum().alias(name) for name, is_one in kinds.items()]
    rows = counted.group_by(keys).agg(pl.col("calls").sum(), *of_kind).sort(keys, nulls_last=True)
    for row in rows.iter_rows(named=True):
        yield Edge(caller_side=side.get(row["caller"]), callee_side=side.get(row["callee"]), **row)


def _hosts(outside: pl.DataFrame, approved: Sequence[str]) -> Iterator[Host]:
    rows = outside.filter(pl.col("host").is_not_null()).group_by("caller", "host")
    summed = rows.agg(pl.col("model").drop_nulls().unique().sort(), pl.col("calls").sum()).sort("caller", "host")
    for caller, host, models, calls in summed.iter_rows():
        yield Host(caller, host, tuple(models), calls, is_approved(host, approved) if approved else None)
