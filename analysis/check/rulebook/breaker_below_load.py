"""MS312: a limit of calls in progress below the load."""

import math
from collections.abc import Iterator
from typing import Final

import polars as pl

from meshslo.analysis.check.rule import Hit, Rule, Subject
from meshslo.analysis.recommend.words import count, seconds

BUSY: Final = 0.99
"""The share of minutes within whose rate the limit should do."""


def _find(subject: Subject) -> Iterator[Hit]:
    for cluster in subject.deployed.clusters:
        limit = cluster.settings.get("max_concurrent_requests")
        load = _load(subject, cluster.callee)
        if limit is None or load is None:
            continue
        rate_per_s, mean_s = load
        needed = math.ceil(rate_per_s * mean_s)
        if needed > float(limit.value):
            yield Hit(
                limit.source,
                f"{limit.value} calls of {cluster.callee} at a time are fewer than its load: {rate_per_s:.3g} a second in busy "
                f"minutes, {seconds(mean_s)} each, are {count(needed)} through all its callers' proxies together",
                confirmed=True,
            )


def _load(subject: Subject, callee: str) -> tuple[float, float] | None:
    """Calls a second in the busy minutes, and their mean duration; None where none was seen."""
    hops = subject.hops_to(callee)
    if subject.observed is None or not hops:
        return None
    tables = subject.observed.tables("total")
    vantages = {hop: tables.vantage(hop) for hop in hops}
    seen = pl.col("hop").is_in(hops) & pl.col("duration_s").is_not_null()
    outermost = pl.col("vantage") == pl.col("hop").replace_strict(vantages, default="nobody", return_dtype=pl.String)
    calls = subject.observed.calls.filter(seen).with_columns(pl.col("vantage").cast(pl.String), pl.col("hop").cast(pl.String))
    calls = calls.filter(outermost)
    minutes = calls.group_by(pl.col("start").dt.truncate("1m")).agg(pl.len().alias("calls")).collect()["calls"]
    mean = calls.select(pl.col("duration_s").mean()).collect().item()
    return None if mean is None else (float(minutes.quantile(BUSY, "higher") or 0) / 60.0, float(mean))


RULE = Rule(
    code="MS312",
    name="breaker-below-load",
    severity="warning",
    finds="A limit of calls in progress below what Little's law needs: calls a second in the busiest minutes x mean "
    "duration. Needs a store.",
    why="The mesh refuses calls in peaks (503, flag UO) while the servers have room. The limit is of one client proxy: "
    "several share the load.",
    instead="the limit that `meshslo recommend breakers` justifies, for the number of client proxies",
    evidence="envoyproxy/envoy#16610; Little 1961.",
    find=_find,
    needs_calls=True,
)
