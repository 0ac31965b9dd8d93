"""Rows of proxies: which of their spans stand for a call, what became of cut attempts, services in cluster names."""

from collections.abc import Callable

import numpy as np
import polars as pl

from meshslo.telemetry.vocabulary import CENSORED

from .graph import Flags, Rows, flagged, marked, take
from .roles import Roles

# What an attempt's own span lacks and the request's span has.
_REQUEST: tuple[str, ...] = (
    "method",
    "zone",
    "pod",
    "namespace",
    "cluster",
    "version",
    "model",
    "tenant",
    "route",
    "streaming",
)


def attempts(roles: Roles) -> Flags:
    """Sent spans whose receiving span is in the frame."""
    return roles.sent & flagged(roles.received, roles.call)


def rows(roles: Roles) -> tuple[Rows, Flags]:
    """The proxies' spans that are rows, and those that would show a call a second time from the same vantage.

    Left out are a caller-side proxy's receiving span that has attempts, and the attempts of a callee-side proxy that another
    proxy's attempt feeds.
    """
    tried = attempts(roles)
    passed_on = roles.received & roles.outbound & ~roles.alone & marked(roles.call[tried], len(tried))
    fed = roles.received & ~roles.outbound & flagged(roles.sent, roles.call)
    again = tried & ~roles.outbound & flagged(fed, roles.call)
    dropped = passed_on | again
    return np.flatnonzero((roles.received | roles.sent) & ~dropped), dropped


def with_fate(roles: Roles, values: pl.DataFrame) -> pl.DataFrame:
    """`values` with attempts completed from their request; an attempt that was cut takes the flags that say who cut it.

    Envoy marks the attempt that a timer or the client cut `canceled=true` with flags `-`, and the request with UT, SI, UMSDR or
    DC. An attempt that was given up for a retry is not the last one and keeps its own status.
    """
    tried = attempts(roles)
    if not tried.any():
        return values
    above = np.where(tried, roles.call, -1)
    request = {name: take(values[name], above).alias("of_request") for name in (*_REQUEST, "response_flags")}
    inherits = pl.Series("cut", tried & _last(roles, tried)) & values["canceled"]
    return values.with_columns(
        *(pl.coalesce(name, request[name]).alias(name) for name in _REQUEST),
        response_flags=pl.when(inherits)
        .then(pl.coalesce("response_flags", request["response_flags"]))
        .otherwise("response_flags"),
    )


def settle_cut(roles: Roles, values: pl.DataFrame, outcome: pl.Series) -> pl.Series:
    """`outcome` with no cut stream left as `ok`.

    Where a request has no flag but its body never came to its end, a timer cut it that Envoy does not flag
    (`max_stream_duration` of a route or listener; a client that leaves has a flag). A cancelled attempt ended as its request
    did if that was cut, is an error if it was given up for a retry, and else was cut by whoever received it.
    """
    if not (roles.received | roles.sent).any():
        return outcome
    tried = attempts(roles)
    retried = pl.Series("retried", tried & ~_last(roles, tried))
    unflagged = pl.Series("received", roles.received) & values["incomplete"] & (outcome == "ok")
    unflagged &= values["status_code"].is_between(200, 299).fill_null(False)
    request = pl.select(pl.when(unflagged).then(pl.lit("timeout")).otherwise(outcome).alias("outcome"))["outcome"]
    above = take(request, np.where(tried, roles.call, -1))
    fate = pl.when(retried).then(pl.lit("error")).when(above.is_in(list(CENSORED))).then(above).otherwise(pl.lit("cancelled"))
    untold = pl.Series("sent", roles.sent) & values["canceled"] & (outcome == "ok")
    return pl.select(pl.when(untold).then(fate).otherwise(request).alias("outcome"))["outcome"]


def _last(roles: Roles, tried: Flags) -> Flags:
    """Which spans no later attempt of the same request follows."""
    begin = roles.spans["start_ns"]
    group = pl.DataFrame({"request": np.where(tried, roles.call, -1), "begin": begin})
    return (group["begin"] == group.select(pl.col("begin").max().over("request"))["begin"]).to_numpy() | ~tried


_INSIDE = r"\.svc(\.|$)|\.local$"
"""Host names of a cluster: the first label is the service."""


def of_each(words: pl.Series, meaning: Callable[[pl.Expr], pl.Expr]) -> pl.Series:
    """`meaning` of each of `words`, worked out once for each distinct one."""
    distinct = words.unique()
    return words.replace_strict(distinct, pl.select(meaning(pl.lit(distinct))).to_series())


def service_of_host(host: pl.Expr) -> pl.Expr:
    """The service a host name means: without port, the first label of names inside a cluster, else the whole name."""
    bare = host.str.replace(r":\d+$", "")
    return pl.when(bare.str.contains(_INSIDE)).then(bare.str.extract(r"^([^.]+)")).otherwise(bare)


def service_of_cluster(cluster: pl.Expr) -> pl.Expr:
    """The service an Envoy cluster name means: Istio's `outbound|PORT|SUBSET|HOST` by its host, else the name itself."""
    host = cluster.str.extract(r"^(?:in|out)bound\|[^|]*\|[^|]*\|(.+)$")
    return service_of_host(pl.coalesce(host, pl.when(~cluster.str.contains("|", literal=True)).then(cluster)))
