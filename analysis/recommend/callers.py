"""Who called whom, with what identity, over which connection; and which hosts outside were called: counted once a call.

A call is seen from several sides, and metrics count it again. So each hop is counted from one witness, whichever says most:
a vantage of calls is one, each instrument of metrics on one side another.
"""

import ipaddress
from collections.abc import Sequence
from typing import Final

import polars as pl

from meshslo.telemetry.vocabulary import INGRESS, VANTAGES

PASSTHROUGH: Final = "PassthroughCluster"
"""What Istio calls every host that it does not know."""

_INSIDE: Final = (".svc", ".cluster.local", ".local", ".internal", ".localdomain")
_KEYS: Final = ("hop", "route", "method", "caller_identity", "callee_identity", "mtls")
_REFUSED: Final = pl.col("status_code").is_in([401, 403]).fill_null(value=False).alias("refused")
"""Who is refused shows what is asked for, and no use that anybody granted."""
_SIDES: Final = (
    pl.col("hop").str.split(">").list.first().alias("caller"),
    pl.col("hop").str.split(">").list.last().alias("callee"),
)


def identified_calls(calls: pl.LazyFrame, series: pl.LazyFrame | None = None) -> pl.DataFrame:
    """Number of calls inside the mesh by hop, route, method, both identities, mtls and whether refused, with caller and callee.

    Refused are those answered with 401 or 403, which metrics do not tell apart. Each hop from where most is said of its
    connections, as `seen_by` tells; `principal` is the caller's without its scheme.
    """
    counted = pl.concat([_of_calls(calls), *([] if series is None else [_of_series(series, _KEYS)])], how="diagonal")
    sided = counted.with_columns(_SIDES)
    # Who is outside the mesh has no identity in it.
    outside = pl.any_horizontal(pl.col(name).is_in(_outside(sided[name])).fill_null(value=False) for name in ("peer", "callee"))
    said = pl.col("mtls").is_not_null() | pl.col("caller_identity").is_not_null()
    principal = pl.col("caller_identity").str.strip_prefix("spiffe://").alias("principal")
    return _from_best(sided.filter(~outside), said).with_columns(principal, pl.col("refused").fill_null(value=False))


def outside_calls(calls: pl.LazyFrame, series: pl.LazyFrame | None = None) -> pl.DataFrame:
    """Number of calls by caller, host outside the mesh (null: inside) and model, each hop from where most is said of hosts."""
    keys = ("hop", "peer", "model")
    of_calls = calls.group_by(_witness(), pl.col("vantage").alias("seen_by"), *keys).agg(_CALLS).collect()
    counted = pl.concat([of_calls, *([] if series is None else [_of_series(series, keys)])], how="diagonal").with_columns(
        _SIDES
    )
    hosts = {name: _host(name) for name in _outside(counted["peer"], counted["callee"])}
    host = pl.coalesce(pl.col(name).replace_strict(hosts, default=None, return_dtype=pl.String) for name in ("peer", "callee"))
    chosen = _from_best(counted.with_columns(host.alias("host")), pl.col("host").is_not_null())
    by = ("caller", "host", "model")
    return chosen.filter(~pl.col("caller").is_in([INGRESS, ""])).group_by(by).agg(pl.col("calls").sum()).sort(by)


def tenant_calls(calls: pl.LazyFrame) -> pl.DataFrame:
    """Number of calls that name a tenant and were not refused, by hop, caller, callee, tenant and mtls.

    Each hop from where most is said of mtls.
    """
    named = calls.filter(pl.col("tenant").is_not_null() & ~_REFUSED)
    counted = named.group_by(_witness(), "hop", "tenant", "mtls").agg(_CALLS).collect()
    return _from_best(counted, pl.col("mtls").is_not_null()).with_columns(_SIDES)


def is_outside(host: str) -> bool:
    """Whether a peer's name is of a host outside the mesh.

    >>> [is_outside(host) for host in ("api.openai.com", "generator", "generator.chat.svc:80", "10.0.0.7", "8.8.8.8")]
    [True, False, False, False, True]
    """
    name = bare(host)
    try:
        return ipaddress.ip_address(name).is_global
    except ValueError:
        return host == PASSTHROUGH or ("." in name and not name.endswith(_INSIDE))


def bare(host: str) -> str:
    """A host's name without its port, in lower case.

    >>> bare("API.openai.com.:443"), bare("[2001:db8::1]:443")
    ('api.openai.com', '2001:db8::1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    name = host.rpartition(":")[0] if host.count(":") == 1 else host
    return name.rstrip(".").lower()


_CALLS: Final = pl.len().cast(pl.Int64).alias("calls")


def _witness() -> pl.Expr:
    return pl.format("{} {}", pl.col("vantage").cast(pl.Enum(VANTAGES)).to_physical(), "vantage").alias("witness")


def _outside(*names: pl.Series) -> list[str]:
    return sorted({name for each in names for name in each.unique() if name is not None and is_outside(name)})


def _host(name: str) -> str:
    return name if name == PASSTHROUGH else bare(name)


def _of_calls(calls: pl.LazyFrame) -> pl.DataFrame:
    return calls.group_by(_witness(), pl.col("vantage").alias("seen_by"), "peer", _REFUSED, *_KEYS).agg(_CALLS).collect()


def _of_series(series: pl.LazyFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Calls as metrics count them: by their own counter, or as the buckets of a histogram of whole calls together."""
    counts = (pl.col("measure") == "calls") | ((pl.col("measure") == "bucket") & (pl.col("phase") == "total"))
    known = pl.col("caller").is_not_null() & pl.col("callee").is_not_null()
    witness = pl.format("metric {} {} {} {}", "source", "profile", "instrument", pl.col("reporter").fill_null("")).alias(
        "witness"
    )
    there = set(series.collect_schema().names())
    told = [pl.col(name) if name in there else pl.lit(None, dtype=pl.String).alias(name) for name in keys]
    return (
        series.filter(counts & known)
        .group_by(witness, pl.format("{} metrics", "profile").alias("seen_by"), *told)
        .agg(pl.col("value").list.sum().sum().round().cast(pl.Int64).alias("calls"))
        .filter(pl.col("calls") > 0)
        .collect()
    )


def _from_best(counted: pl.DataFrame, said: pl.Expr) -> pl.DataFrame:
    """The rows of each hop from the witness of which most calls have `said` something."""
    best = (
        counted.group_by("hop", "witness")
        .agg(pl.col("calls").filter(said).sum().alias("said"))
        .sort("hop", "said", "witness", descending=[False, True, False])
        .unique("hop", keep="first", maintain_order=True)
    )
    return counted.join(best.select("hop", "witness"), on=["hop", "witness"], how="semi")
