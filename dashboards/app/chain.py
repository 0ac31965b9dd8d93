"""The chain: who calls whom, how often, how long it takes, how it ends."""

from collections.abc import Sequence
from typing import Any, Final

import polars as pl
import streamlit as st

from meshslo.analysis.recommend.words import share
from meshslo.analysis.slo.standing import Standing
from meshslo.dashboards.commands.chain import caveats
from meshslo.dashboards.figures import call_graph, path_shares, promised_chain
from meshslo.dashboards.frames import hop_rows, labelled, promised_rows, quantile_table
from meshslo.dashboards.text import quantile_text, share_text
from meshslo.telemetry.errors import StoreError
from meshslo.telemetry.vocabulary import INGRESS

from . import Page
from .answers import config
from .drawing import FEW_CALLS, Card, cards, draw, draw_quantiles, sentences, table, tell_piles
from .paths import path_rows, path_table, way_text
from .shell import choose
from .view import View

GRAPH: Final = "call_graph"


def render(view: View) -> None:
    """The call graph of all hops, then the quantiles of those chosen."""
    top, place = st.container(), st.empty()
    hops = hop_rows(view.every_hop().report(["hop"], quantiles=(0.99,), bursts=False))
    is_promised = bool(config(view.asked).slo)
    if not is_promised or view.calls > FEW_CALLS:
        with place.container():
            _graph(hops, None if is_promised else ())
    with top:
        _headline(view.every_hop().report(["hop"]))
    report = along(view.report(["hop"]))
    st.subheader("How long each hop takes")
    draw_quantiles(labelled(report, ["hop"]), "duration of the whole call", "dots")
    table(quantile_table(report, ["hop"]), "hops")
    tell_piles(view.piles("total"))
    st.caption(
        "Quantiles count calls that were cut as longer than what was seen of them; in brackets the 95 % confidence interval. "
        "`>= 3.0 s`: cut calls hide what is beyond. `needs 12 more calls`: fewer calls cannot tell. "
        "Quantiles of hops do not add up."
    )
    if is_promised:
        # Objectives are asked of single calls: of many the picture by failures, from rollups, is there before.
        with place.container():
            _graph(hops, view.every_hop().objectives().standings)
    _paths(view)


def _graph(hops: pl.DataFrame, standings: Sequence[Standing] | None) -> None:
    """The call graph, coloured by how objectives stand where there are some; None until this is known."""
    if standings is None:
        draw(call_graph(hops), f"{GRAPH}_before")
        return
    graph = promised_chain(promised_rows(hops, standings)) if standings else call_graph(hops)
    draw(graph, GRAPH, clicked=_clicked)
    coloured = "Coloured by the worst of its objectives. " if standings else ""
    st.caption(f"{coloured}Beside each hop: calls and p99 of their whole duration. Click a triangle to see that hop alone.")


def _paths(view: View) -> None:
    """What users wait for: each hop's part of the time of whole traces."""
    st.subheader("What users wait for")
    try:
        found = view.chain()
    except StoreError as reason:
        st.caption(f"Not known: {reason}.")
        return
    place = 0
    if len(found.ways) > 1:
        place = st.selectbox("Way in", range(len(found.ways)), format_func=lambda n: way_text(found.ways[n]), key="way")
    way = found.ways[place]
    shares = path_rows(found, way)
    if shares.is_empty():
        st.caption(f"Shares need {min(slow.needs_traces for slow in way.slow):,} more traces.")
    else:
        draw(path_shares(shares), "path_shares")
    table(path_table(found, way), "paths")
    slowest = "" if shares.is_empty() else f"The picture: the slowest {share(shares['slower'][0])} of them. "
    whole = f"{way.traces:,} trace{'s' * (way.traces != 1)} of {way_text(way)}."
    st.caption(
        f"{whole} {slowest}On path: while nothing that ends later runs beside it, calls "
        f"inside included; own: without these. {sentences(caveats(found))}"
    )


def _headline(report: pl.DataFrame) -> None:
    """The figures of the entry hop, which are what users feel."""
    entry = report.filter(pl.col("hop").str.starts_with(f"{INGRESS}>")).sort("calls", descending=True)
    if entry.is_empty():
        return
    rows = entry.filter(pl.col("hop") == entry["hop"][0]).sort("q")
    first = rows.row(0, named=True)
    shown: list[Card] = [
        ("calls", f"{first['calls']:,}", first["hop"]),
        ("ended well", share_text(first["ok"], first["calls"]), f"{first['ok']:,} calls"),
    ]
    for row in rows.iter_rows(named=True):
        text = quantile_text(row)
        value, _, interval = ("?", "", text) if row["value_s"] is None else text.partition(" (")
        shown.append((f"p{100 * row['q']:g}", value, interval.rstrip(")") or "cuts hide the rest"))
    cards(shown)


def along(report: pl.DataFrame) -> pl.DataFrame:
    """The rows of a report by hop in the order in which a request passes the hops, from the way in on."""
    ends = sorted({hop.partition(">")[::2] for hop in report["hop"].drop_nulls()})
    reached = {INGRESS: 0}
    for depth in range(1, len(ends) + 1):
        further = {callee for caller, callee in ends if reached.get(caller) == depth - 1}
        reached |= {callee: depth for callee in sorted(further) if callee not in reached}
    depths = {">".join(pair): reached.get(pair[0], len(ends)) for pair in ends}
    depth_of = pl.col("hop").replace_strict(depths, default=len(ends), return_dtype=pl.Int64)
    return report.sort(depth_of, "hop", maintain_order=True)


def _clicked() -> None:
    """Show the hop whose triangle was clicked, all where the click took the choice back."""
    picked: Any = st.session_state[GRAPH]
    names = [point["customdata"][0] for point in picked["selection"]["points"] if point.get("customdata")]
    choose("hop", names)


PAGE: Final = Page("Chain", "chain", ":material/account_tree:", 10, render)
