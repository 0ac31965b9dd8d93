"""Streams: when the first token comes, how long they fall silent, how they end, what the cut ones cost."""

from typing import Final

import polars as pl
import streamlit as st

from meshslo.dashboards.figures import endings, rate_dots, rate_text
from meshslo.dashboards.figures.theme import FEW_TICKS
from meshslo.dashboards.frames import GROUP, cost_table, labelled, quantile_table
from meshslo.dashboards.text import seconds_text, share_text
from meshslo.telemetry.errors import StoreError
from meshslo.telemetry.vocabulary import INGRESS, Phase

from . import Page
from .drawing import cards, draw, draw_quantiles, table
from .view import View

CLOCKS: Final[tuple[Phase, ...]] = ("first_token", "max_gap")
"""The phases that only streams have."""

FLAGS: Final = {
    "UT": "timer of the whole call",
    "SI": "idle timer",
    "UMSDR": "longest stream duration",
    "DT": "duration timer",
    "DC": "caller left",
    "DR": "caller reset the stream",
    "DPE": "caller broke the protocol",
}
"""Envoy's response flags in words."""


def render(view: View) -> None:
    """The two clocks that only streams have, then how streams end, what it costs, and how fast they deliver."""
    keys = ["hop", {"Model": "model", "Tenant": "tenant", "Route": "route"}[_by()]]
    seen = [view.report(keys, phase=phase, quantiles=(0.5,), bursts=False) for phase in CLOCKS]
    if not sum(report["timed"].sum() for report in seen):
        raise StoreError(
            "none of these calls is known to be a stream: wrap streams in `observe_stream`, or widen the filters; "
            "a proxy alone does not see chunks"
        )
    top = st.container()
    # An answer in one chunk has a first one too; only a stream has gaps.
    hops = seen[1].filter(pl.col("timed") > 0)["hop"].unique().to_list() or seen[0]["hop"].unique().to_list()
    for column, phase, title in zip(st.columns(2), CLOCKS, ("First token", "Longest gap"), strict=True):
        with column:
            _clock(view.report(keys, phase=phase).filter(pl.col("hop").is_in(hops)), keys, title)
    costs = view.streams(keys)
    if not costs.is_empty():
        costs = labelled(costs, keys)
        with top:
            _headline(costs)
        _endings(view, costs, keys)
    _speed(view, keys)


def _by() -> str:
    return str(
        st.segmented_control(
            "Tell apart by", ["Model", "Tenant", "Route"], default="Model", required=True, key="streams_by", bind="query-params"
        )
    )


def _headline(costs: pl.DataFrame) -> None:
    """Of the entry hop, else of the one with the most streams: a sum over hops would count one stream twice."""
    entry = pl.col("hop").str.starts_with(f"{INGRESS}>").alias("entry")
    sizes = costs.group_by("hop", entry).agg(pl.col("calls").sum())
    hop = sizes.sort("entry", "calls", "hop", descending=[True, True, False])["hop"][0]
    whole = costs.filter(pl.col("hop") == hop).select(pl.col(pl.Int64, pl.Float64).sum()).row(0, named=True)
    vain = f"{whole['tokens_in_vain']:,} of {whole['tokens']:,}"
    cards(
        [
            ("streams", f"{whole['calls']:,}", hop),
            ("cut by a timer", share_text(whole["timeout"], whole["calls"]), f"{whole['timeout']:,} streams"),
            ("tokens in vain", share_text(whole["tokens_in_vain"], whole["tokens"]), vain),
            ("held in vain", seconds_text(whole["held_in_vain_s"]), f"of {seconds_text(whole['held_s'])}"),
        ]
    )


def _endings(view: View, costs: pl.DataFrame, keys: list[str]) -> None:
    st.subheader("How streams end, and what it costs")
    draw(endings(costs, GROUP), "endings")
    table(cost_table(costs, keys), "costs")
    st.caption("In vain: made, and held open, for streams that did not end well. Where tokens are not counted, chunks are.")
    st.subheader("What cut them")
    cuts = view.cuts(["hop"])
    if cuts.is_empty():
        st.caption("No proxy told which timer cut: collect the proxies' spans or access logs to see it.")
        return
    names = [f"{FLAGS.get(flag, flag)} ({flag})" for flag in cuts["flag"]]
    table(cuts.select("hop", pl.col("vantage").alias("seen by"), pl.Series("ended by", names), "calls"), "cuts")
    st.caption("As the outermost proxy of each hop flagged its calls, those that do not stream among them.")


def _clock(report: pl.DataFrame, keys: list[str], title: str) -> None:
    st.subheader(title)
    seen = report.filter(pl.col("timed") > 0)
    if seen.is_empty():
        st.caption("Nobody saw it: wrap streams in `observe_stream`.")
        return
    draw_quantiles(labelled(seen, keys), title.lower(), f"dots {title}", most_ticks=FEW_TICKS)
    with st.expander("As a table"):
        table(quantile_table(seen, keys), f"quantiles {title}")


def _speed(view: View, keys: list[str]) -> None:
    st.subheader("How fast they deliver")
    rates = view.rates(keys)
    if rates.is_empty():
        st.caption("Nobody counted tokens: `observe_stream` and the GenAI instrumentations do.")
        return
    rates = labelled(rates, keys)
    draw(rate_dots(rates, GROUP), "rates")
    with st.expander("As a table"):
        table(_rate_table(rates, keys), "rate_table")
    st.caption("Output tokens a second, from the first token to the end; of cut streams up to where they were cut.")


def _rate_table(rates: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    told = rates.with_columns(pl.Series("text", [rate_text(row) for row in rates.iter_rows(named=True)]))
    named = told.with_columns((100 * (1 - pl.col("q"))).round(6).alias("faster"))
    wide = named.pivot("faster", index=[*keys, "vantage", "streams"], values="text", maintain_order=True)
    return wide.rename(
        {"vantage": "seen by"} | {name: f"{float(name):g} % are faster" for name in wide.columns[len(keys) + 2 :]}
    )


PAGE: Final = Page("Streams", "streams", ":material/water:", 30, render)
