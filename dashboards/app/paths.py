"""Whole traces as frames: which hops take their time, as a picture and as a table. Pure; no Streamlit in here."""

from collections.abc import Sequence

import polars as pl

from meshslo.analysis.paths import Chain
from meshslo.analysis.paths.result import Share, Way
from meshslo.analysis.quantile import Quantile
from meshslo.dashboards.text import quantile_text


def way_text(way: Way) -> str:
    """A way into the chain in words."""
    return " ".join([way.entry, *(value for value in way.keys.values() if value)])


def path_rows(found: Chain, way: Way) -> pl.DataFrame:
    """hop, estimate, low, high, slower (which share of the traces) at the highest quantile that has shares; else no rows."""
    known = [place for place in range(len(found.quantiles)) if any(hop.shares[place] for hop in way.hops)]
    rows = [
        {"hop": hop.hop, **vars(share), "slower": 1.0 - found.quantiles[known[-1]]}
        for hop in (way.hops if known else ())
        if (share := hop.shares[known[-1]]) is not None
    ]
    schema = {"hop": pl.String} | dict.fromkeys(("estimate", "low", "high", "slower"), pl.Float64)
    return pl.DataFrame(rows, schema=schema).sort("estimate", descending=True)


def path_table(found: Chain, way: Way) -> pl.DataFrame:
    """One row for whole traces and each hop: calls, and at each quantile on path, own time and share, as text."""
    marks = [f"p{100 * q:g}" for q in found.quantiles]
    whole = {"hop": "(whole traces)", "traces": way.traces, "calls": way.traces}
    rows = [whole | {f"on path {mark}": text for mark, text in zip(marks, _texts(way.total), strict=True)}]
    for hop in way.hops:
        times = {f"on path {mark}": text for mark, text in zip(marks, _texts(hop.on_path), strict=True)}
        times |= {f"own {mark}": text for mark, text in zip(marks, _texts(hop.own), strict=True)}
        shares = {f"share {mark}": _share(share) for mark, share in zip(marks, hop.shares, strict=True)}
        rows.append({"hop": hop.hop, "traces": hop.traces, "calls": hop.calls, **times, **shares})
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(pl.col(pl.String).fill_null(""))


def _texts(quantiles: Sequence[Quantile]) -> list[str]:
    return [quantile_text(vars(quantile)) for quantile in quantiles]


def _share(share: Share | None) -> str:
    return "-" if share is None else f"{share.estimate:.0%} ({share.low:.0%} to {share.high:.0%})"
