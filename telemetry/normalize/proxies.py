"""Rows of proxies: which of their spans stand for a call, what became of cancelled attempts, and service names in cluster names."""

import numpy as np
import polars as pl

from .graph import Flags, Rows, marked, pick, take
from .roles import Roles

# What an attempt's own span lacks and the request's span has.
_REQUEST: tuple[str, ...] = ("method", "zone", "pod", "namespace", "cluster", "version", "model", "tenant", "route", "streaming")


def attempts(roles: Roles) -> Flags:
    """Sent spans whose receiving span is in the frame."""
    return roles.sent & pick(roles.received, roles.call, False)


def rows(roles: Roles) -> tuple[Rows, Flags]:
    """The proxies' spans that are rows, and those that would show a call a second time from the same vantage.

    Left out are a caller-side proxy's receiving span that has attempts, and the attempts of a callee-side proxy that another
    proxy's attempt feeds.
    """
    tried = attempts(roles)
    passed_on = roles.received & roles.outbound & ~roles.alone & marked(roles.call[tried], len(tried))
    fed = roles.received & ~roles.outbound & pick(roles.sent, roles.call, False)
    again = tried & ~roles.outbound & pick(fed, roles.call, False)
    dropped = passed_on | again
    return np.flatnonzero((roles.received | roles.sent) & ~dropped), dropped


def with_fate(roles: Roles, values: pl.DataFrame) -> pl.DataFrame:
    """`values` with attempts completed from their request; an attempt that was cut takes the flags that say who cut it.

    Envoy marks the attempt that a timer or the client cut `canceled=true` with flags `-`, and the request with UT, SI, UMSDR or
    DC. An attempt that was given up for a retry is not the last one and keeps its own status.
    """
    tried = attempts(roles)
    above = np.where(tried, roles.call, -1)
    request = {name: take(values[name], above).alias("of_request") for name in (*_REQUEST, "response_flags")}
    inherits = pl.Series("cut", tried & _last(roles, tried)) & values["canceled"]
    return values.with_columns(
        *(pl.coalesce(name, request[name]).alias(name) for name in _REQUEST),
        response_flags=pl.when(inherits)
        .then(pl.coalesce("response_flags", request["response_flags"]))
        .otherwise("response_flags"),
    )


def settle_cancelled(roles: Roles, values: pl.DataFrame, outcome: pl.Series) -> pl.Series:
    """`outcome` with no cancelled attempt left as `ok`: given up for a retry it is an error, else it was cut (censored)."""
    tried = attempts(roles)
    retried = pl.Series("retried", tried & ~_last(roles, tried))
    untold = roles_sent(roles) & values["canceled"] & (outcome == "ok")
    return pl.select(
        pl.when(untold & retried).then(pl.lit("error")).when(untold).then(pl.lit("cancelled")).otherwise(outcome).alias("outcome")
    )["outcome"]


def roles_sent(roles: Roles) -> pl.Series:
    """`roles.sent` as a column."""
    return pl.Series("sent", roles.sent)


def _last(roles: Roles, tried: Flags) -> Flags:
    """Which spans no later attempt of the same request follows."""
    begin = roles.spans["start_ns"]
    group = pl.DataFrame({"request": np.where(tried, roles.call, -1), "begin": begin})
    return (group["begin"] == group.select(pl.col("begin").max().over("request"))["begin"]).to_numpy() | ~tried


def short_host(column: str) -> pl.Expr:
    """The service a host name means: without port, the first label of names inside a cluster, else the whole name."""
    host = pl.col(column).str.replace(r":\d+$", "")
    inside = host.str.contains(r"\.svc(\.|$)|\.cluster\.local$|\.local$")
    return pl.when(inside).then(host.str.extract(r"^([^.]+)")).otherwise(host)


def cluster_service() -> pl.Expr:
    """The service an Envoy cluster name means: Istio's `outbound|PORT|SUBSET|HOST` by its host, else the name itself."""
    host = pl.col("upstream_cluster").str.extract(r"^(?:in|out)bound\|[^|]*\|[^|]*\|(.+)$")
    plain = pl.when(~pl.col("upstream_cluster").str.contains("|", literal=True)).then("upstream_cluster")
    named = pl.coalesce(host, plain)
    inside = named.str.contains(r"\.svc(\.|$)|\.cluster\.local$|\.local$")
    return pl.when(inside).then(named.str.extract(r"^([^.]+)")).otherwise(named)
