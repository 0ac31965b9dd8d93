"""Call rows of a trace complete each other: who called, who was called, tenant, model, and how the call really ended.

Works on canonical rows alone, so it may run again whenever more of a trace is at hand; running it twice changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from meshslo.telemetry.schema import COLUMNS
from meshslo.telemetry.vocabulary import CENSORED, INGRESS, UNKNOWN

from .graph import Flags, Rows, flagged, nearest, parents, take

_DEEPEST: Final = 4
"""Proxies one behind the other that a verdict passes through."""
_OF_THE_CALL: Final = ("route", "model", "tenant", "streaming")
_OF_THE_TRACE: Final = ("model", "tenant")


def resolve(calls: pl.DataFrame) -> pl.DataFrame:
    """`calls` with caller, callee, hop, route, tenant, model and outcome completed from the trace mates in the frame.

    A row without caller takes that of the client above it; an entry (no parent at all) is called by `ingress`; where the parent
    is not in the frame the caller stays null and the hop reads `unknown>callee`. A client's callee is the service that
    answered, else the peer it addressed. Tenant and model come from the same call's other rows, then from the trace where it
    has exactly one.
    """
    if not calls.height:
        return calls
    forest = _Forest.of(calls)
    calls = _with_callers(calls, forest)
    group = _same_call(calls, forest)
    calls = _with_callees(calls, group, forest)
    calls = calls.with_columns(_completed(calls[name], group) for name in _lacking(calls, _OF_THE_CALL))
    if lacking := _lacking(calls, _OF_THE_TRACE):
        trace = _same_trace(calls)
        calls = calls.with_columns(_completed(calls[name], trace) for name in lacking)
    calls = _with_verdicts(calls, forest)
    return calls.with_columns(hop=_named("caller") + ">" + _named("callee")).select(COLUMNS)


def _named(side: str) -> pl.Expr:
    return pl.col(side).fill_null(UNKNOWN)


@dataclass(frozen=True)
class _Forest:
    """The rows of a frame by vantage and parent."""

    parent: Rows
    client: Flags
    server: Flags
    proxy_in: Flags
    proxy_out: Flags

    @classmethod
    def of(cls, calls: pl.DataFrame) -> "_Forest":
        client, server, proxy_in, proxy_out = (
            (calls["vantage"] == vantage).to_numpy() for vantage in ("client", "server", "proxy_in", "proxy_out")
        )
        return cls(parents(calls, inner=server | proxy_in), client, server, proxy_in, proxy_out)

    @property
    def proxy(self) -> Flags:
        return self.proxy_in | self.proxy_out


def _with_callers(calls: pl.DataFrame, forest: _Forest) -> pl.DataFrame:
    """A missing caller from the nearest row above that knows it: a client or proxy names its own, a server is the caller."""
    known = calls["caller"].is_not_null().to_numpy()
    above = nearest(forest.parent, forest.client | forest.server | (forest.proxy & known))
    giver = pl.select(
        pl.when(pl.Series(flagged(forest.server, above)))
        .then(take(calls["callee"], above))
        .otherwise(take(calls["caller"], above))
        .alias("caller")
    )["caller"]
    # The top of the chain has no parent at all: whoever called is outside.
    top = nearest(forest.parent, forest.parent < 0)
    top = np.where(top >= 0, top, np.arange(len(top)))
    entry = pl.Series((above < 0) & ~flagged(forest.client, top)) & take(calls["parent_span_id"], top).is_null()
    traced = calls["trace_id"].is_not_null()
    outside = pl.when(entry & traced & pl.Series(~forest.client)).then(pl.lit(INGRESS))
    return calls.with_columns(caller=pl.coalesce("caller", giver, outside))


def _same_call(calls: pl.DataFrame, forest: _Forest) -> Rows:
    """A number that the rows of one call share: the row number of its outermost row.

    A call goes on from a row to the proxies and the server below it; it ends at a client, at a server, and where a proxy that
    is a service of its own calls on.
    """
    above_proxy = flagged(forest.proxy, forest.parent)
    above_client = flagged(forest.client, forest.parent)
    caller, above_callee = calls["caller"], take(calls["callee"], forest.parent)
    calls_on = (caller.eq(above_callee) & caller.ne_missing(calls["callee"])).fill_null(False).to_numpy()
    calls_on &= forest.proxy_out & flagged(forest.proxy_in, forest.parent)
    goes_on = ~forest.client & (above_proxy | above_client) & ~calls_on
    chain = np.where(goes_on, forest.parent, -1)
    head = nearest(chain, chain < 0)
    return np.where(head >= 0, head, np.arange(len(head)))


def _same_trace(calls: pl.DataFrame) -> Rows:
    """A number that the rows of one trace share: the row number of its first row; -1 for rows of no trace."""
    rows = calls.select("trace_id", row=pl.int_range(pl.len(), dtype=pl.Int64))
    # Of a column there already: of an expression, `over` makes each group's by itself.
    first = rows.select(row=pl.when(pl.col("trace_id").is_null()).then(-1).otherwise(pl.col("row").first().over("trace_id")))
    return first["row"].to_numpy()


def _with_callees(calls: pl.DataFrame, group: Rows, forest: _Forest) -> pl.DataFrame:
    """Clients and caller-side proxies call whoever answered: the server of the same call, else the proxy before it.

    Of several servers (a hedged or mirrored request) it is the one that began first, in whatever order their spans came.
    A proxy that does not know whose it is (Linkerd's have one name for all) is the server's.
    """
    known = calls["callee"].is_not_null().to_numpy()
    answering = np.full(len(group), -1, dtype=np.int64)
    for callees in (forest.proxy_in, forest.server):  # the last one written stays
        rows = _latest_first(calls, np.flatnonzero(callees & known), group)
        answering[group[rows]] = rows
    answered = take(calls["callee"], answering[group])
    asks = pl.Series("asks", forest.client | forest.proxy_out)
    callee = pl.when(asks).then(pl.coalesce(answered, "callee")).otherwise(pl.coalesce("callee", answered))
    return calls.with_columns(callee=callee)


def _latest_first(calls: pl.DataFrame, rows: Rows, group: Rows) -> Rows:
    """`rows`, of which those that share a group come in descending order of start, then of id."""
    several = np.bincount(group[rows], minlength=len(group))[group[rows]] > 1
    shared = rows[several]
    order = calls.select(pl.col("start", "span_id").gather(shared)).select(
        pl.arg_sort_by("start", "span_id", descending=True).alias("order")
    )["order"]
    return np.concatenate([rows[~several], shared[order.to_numpy()]])


def _lacking(calls: pl.DataFrame, names: Sequence[str]) -> list[str]:
    """Those of the columns `names` that only some rows have."""
    return [name for name in names if 0 < calls[name].null_count() < calls.height]


def _completed(values: pl.Series, group: Rows) -> pl.Series:
    """`values`, and where one is null the only value that the rows of its group have; group -1 is none."""
    missing = values.is_null().to_numpy()
    said = np.flatnonzero(~missing & (group >= 0))
    giver = np.full(len(group), -1, dtype=np.int64)
    giver[group[said]] = said
    differs = (values.gather(said) != values.gather(giver[group[said]])).to_numpy()
    giver[group[said[differs]]] = -1
    return values.zip_with(pl.Series(~missing), take(values, np.where(missing & (group >= 0), giver[group], -1)))


def _with_verdicts(calls: pl.DataFrame, forest: _Forest) -> pl.DataFrame:
    """A cut that a proxy made is the truth for those before it, who saw a reset (`error`) or did not see the end at all.

    The word of the last attempt right behind a client or a caller-side proxy counts, if it is `timeout` or `cancelled`.
    """
    behind = _last_proxy_behind(calls, forest)
    if not (behind >= 0).any():
        return calls
    for _ in range(_DEEPEST):
        verdict, flags = take(calls["outcome"], behind), take(calls["response_flags"], behind)
        blind = (calls["outcome"] == "error") | ((calls["outcome"] == "ok") & calls["duration_s"].is_null())
        cut = (blind & verdict.is_in(list(CENSORED))).fill_null(False)
        if not cut.any():
            break
        calls = calls.with_columns(
            outcome=pl.when(cut).then(verdict).otherwise("outcome"),
            response_flags=pl.when(cut).then(pl.coalesce(flags, "response_flags")).otherwise("response_flags"),
        )
    return calls


def _last_proxy_behind(calls: pl.DataFrame, forest: _Forest) -> Rows:
    """Row of the last proxy span right below each client or proxy; -1 where there is none."""
    child = np.flatnonzero(forest.proxy & flagged(forest.client | forest.proxy_out, forest.parent))
    order = child[np.argsort(calls["start"].gather(pl.Series(child)).to_physical().to_numpy(), kind="stable")]
    behind = np.full(len(forest.parent), -1, dtype=np.int64)
    behind[forest.parent[order]] = order  # the last one written stays
    return behind
