"""Spans to call rows: which spans are calls, from which vantage, and what each row says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from meshslo.telemetry.schema import COLUMNS, conform

from . import nests, proxies
from .asgi_chunks import with_chunk_times
from .columns import measured
from .graph import Flags, Rows, flagged, follow, nearest, of_rows, take
from .outcomes import outcomes
from .resolve import resolve
from .roles import Roles, assign
from .spans import CLIENT, SERVER


@dataclass(frozen=True)
class Normalized:
    """Call rows, and how many spans are no row of their own, by reason."""

    calls: pl.DataFrame
    left_out: Mapping[str, int]


def to_calls(spans: pl.DataFrame) -> pl.DataFrame:
    """The call rows of a span table, completed from each other; `normalize` also says what was left out."""
    return normalize(spans).calls


def normalize(spans: pl.DataFrame) -> Normalized:
    """The call rows of a span table, completed from each other, and the count of spans left out, by reason."""
    roles = assign(spans)
    values = with_chunk_times(roles, proxies.with_fate(roles, measured(roles.spans)))
    values = values.with_columns(outcome=proxies.settle_cut(roles, values, outcomes(values)))
    found = nests.find(roles)
    kept, dropped = proxies.rows(roles)
    crossing = take(roles.spans["service"], _crossing(roles)).alias("crossing")
    rows = _sdk_rows(roles, values, found, crossing)
    if len(kept):
        rows = pl.concat([rows, _proxy_rows(roles, values, kept, crossing)])
    rows = _with_parents(roles, rows, found, dropped)
    calls = resolve(conform(rows.select(_finished())))
    return Normalized(calls, _left_out(roles, found, dropped))


def _sdk_rows(roles: Roles, values: pl.DataFrame, found: nests.Nests, crossing: pl.Series) -> pl.DataFrame:
    """Rows of SDK spans: client and server vantage."""
    rows = nests.fold(values, found)
    addressed = proxies.of_each(rows["peer"], proxies.service_of_host)
    judged = rows.with_columns(crossing.gather(found.leaf), outcome=outcomes(rows))
    server = pl.Series("server", roles.server[found.leaf])
    return judged.with_columns(
        row=pl.Series(found.keeper),
        vantage=pl.when(server).then(pl.lit("server")).otherwise(pl.lit("client")),
        caller=pl.when(server).then(pl.coalesce("stated_caller", "crossing")).otherwise("service"),
        callee=pl.when(server).then("service").otherwise(pl.coalesce(addressed, "provider")),
    ).drop("crossing")


def _proxy_rows(roles: Roles, values: pl.DataFrame, kept: Rows, crossing: pl.Series) -> pl.DataFrame:
    """Rows of proxies' spans: proxy_in and proxy_out vantage."""
    rows = of_rows(values, kept).with_columns(crossing.gather(kept))
    arrived = pl.Series("arrived", roles.received[kept] & (~roles.outbound[kept] | roles.alone[kept]))
    outbound = pl.Series("outbound", roles.outbound[kept] & ~arrived.to_numpy())
    cluster = proxies.of_each(rows["upstream_cluster"], proxies.service_of_cluster)
    return rows.with_columns(
        row=pl.Series(kept),
        vantage=pl.when(arrived).then(pl.lit("proxy_in")).otherwise(pl.lit("proxy_out")),
        caller=pl.when(outbound).then("service").otherwise("crossing"),
        callee=pl.when(outbound).then(cluster).otherwise(pl.coalesce("service", cluster)),
    ).drop("crossing")


def _crossing(roles: Roles) -> Rows:
    """For callee-side spans, the span of another service right above that is no caller's span: its client is not seen."""
    inner_proxy = (roles.received | roles.sent) & ~roles.outbound
    above = nearest(roles.parent, ~inner_proxy)
    service = roles.spans["service"]
    differs = (service.ne_missing(take(service, above)) & take(service, above).is_not_null()).to_numpy()
    caller_side = flagged(roles.client | roles.outbound, above)
    return np.where(differs & ~caller_side & (roles.server | inner_proxy), above, -1)


def _with_parents(roles: Roles, rows: pl.DataFrame, found: nests.Nests, dropped: Flags) -> pl.DataFrame:
    """Rows with ids, `parent_span_id` that of the nearest call around; outside of the frame, that of whatever is there."""
    spans, row = roles.spans, rows["row"].to_numpy()
    stop = roles.any_call & ~dropped & ~found.frames
    start = found.root[row]
    above = follow(found.stands_for(spans.height), nearest(roles.parent, stop)[start])
    top = nearest(roles.parent, roles.parent < 0)
    top = np.where(top >= 0, top, np.arange(spans.height))[start]
    return rows.with_columns(
        take(spans["trace_id"], row),
        take(spans["span_id"], row),
        pl.Series("has_parent", above >= 0),
        take(spans["span_id"], above).alias("parent_span_id"),
        take(spans["parent_span_id"], top).alias("outside"),
    ).with_columns(parent_span_id=pl.when("has_parent").then("parent_span_id").otherwise("outside"))


_DERIVED: Final = ("start", "duration_s", "first_byte_s", "first_token_s", "hop")


def _finished() -> list[pl.Expr]:
    """The call row's columns of a row with moments."""
    return [
        *(pl.col(name) for name in COLUMNS if name not in _DERIVED),
        pl.from_epoch("begin", time_unit="ns").dt.replace_time_zone("UTC").alias("start"),
        *(_since_begin(moment).alias(name) for name, moment in _MOMENTS.items()),
        pl.lit("?").alias("hop"),  # resolve names it
    ]


_MOMENTS: Final = {"duration_s": "end", "first_byte_s": "headers", "first_token_s": "token"}


def _since_begin(moment: str) -> pl.Expr:
    passed = pl.col(moment) - pl.col("begin")
    return pl.when(passed >= 0).then(passed / 1e9)


def _left_out(roles: Roles, found: nests.Nests, dropped: Flags) -> dict[str, int]:
    kind = roles.spans["kind"]
    frames = ~roles.any_call & (kind == CLIENT).to_numpy()
    counts = {
        "internal": int((~roles.any_call & (kind < SERVER).to_numpy()).sum()),
        "messaging": int((kind > CLIENT).sum()),
        "frame around calls": int(found.frames.sum() + frames.sum()),
        "layer of a call": int((roles.client | roles.server).sum() - found.frames.sum()) - len(found.leaf),
        "proxy's second view of a call": int(dropped.sum()),
    }
    return {reason: count for reason, count in counts.items() if count}
