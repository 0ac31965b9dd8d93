"""Streams: when the first token comes, how long they fall silent, how they end, what the cut ones cost."""

from typing import Final

import polars as pl
import streamlit as st

from meshslo.dashboards.figures import endings, quantile_dots
from meshslo.dashboards.text import seconds_text, share_text
from meshslo.telemetry.errors import StoreError
from meshslo.telemetry.vocabulary import INGRESS, Phase

from . import Page
from .frames import GROUP, labelled, quantile_table
from .view import View

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
    """How streams end and what it costs, then the two clocks that only streams have."""
    keys = ["hop", {"Model": "model", "Tenant": "tenant", "Route": "route"}[_by()]]
    costs = view.streams(keys)
    if costs.is_empty():
        raise StoreError(
            "none of these calls is known to be a stream: wrap streams in `observe_stream`, or widen the filters; "
            "a proxy alone does not see chunks"
        )
    costs = labelled(costs, keys)
    _headline(costs)
    _endings(view, costs, keys)
    left, right = st.columns(2)
    with left:
        _clock(view, keys, "first_token", "First token")
    with right:
        _clock(view, keys, "max_gap", "Longest gap")


def _by() -> str:
    return str(
        st.segmented_control("Tell apart by", ["Model", "Tenant", "Route"], default="Model", required=True, key="streams_by")
    )


def _headline(costs: pl.DataFrame) -> None:
    """Of the entry hop, else of the one with the most streams: a sum over hops would count one stream twice."""
    entry = pl.col("hop").str.starts_with(f"{INGRESS}>").alias("entry")
    sizes = costs.group_by("hop", entry).agg(pl.col("calls").sum())
    hop = sizes.sort("entry", "calls", "hop", descending=[True, True, False])["hop"][0]
    whole = costs.filter(pl.col("hop") == hop).select(pl.col(pl.Int64, pl.Float64).sum()).row(0, named=True)
    cells = st.columns(4)
    cells[0].metric(f"streams of {hop}", f"{whole['calls']:,}", border=True)
    cells[1].metric(
        "cut by a timer",
        share_text(whole["timeout"], whole["calls"]),
        f"{whole['timeout']:,}",
        delta_color="off",
        delta_arrow="off",
        border=True,
    )
    vain = f"{whole['tokens_in_vain']:,} of {whole['tokens']:,}"
    cells[2].metric(
        "tokens in vain",
        share_text(whole["tokens_in_vain"], whole["tokens"]),
        vain,
        delta_color="off",
        delta_arrow="off",
        border=True,
    )
    held = f"of {seconds_text(whole['held_s'])}"
    cells[3].metric(
        "held in vain", seconds_text(whole["held_in_vain_s"]), held, delta_color="off", delta_arrow="off", border=True
    )


def _endings(view: View, costs: pl.DataFrame, keys: list[str]) -> None:
    st.subheader("How streams end")
    st.plotly_chart(endings(costs, GROUP), key="endings")
    left, right = st.columns([3, 2])
    shown = costs.select(
        *keys,
        pl.col("vantage").alias("seen by"),
        pl.col("calls").alias("streams"),
        (pl.col("timeout") + pl.col("cancelled")).alias("cut or left"),
        "tokens",
        pl.col("tokens_in_vain").alias("tokens in vain"),
        pl.col("held_in_vain_s").map_elements(seconds_text, return_dtype=pl.String).alias("held in vain"),
    )
    left.dataframe(shown, hide_index=True, width="stretch")
    left.caption("In vain: made for streams that did not end well. Where tokens are not counted, chunks are.")
    cuts = view.cuts(["hop"])
    if cuts.is_empty():
        right.caption("No proxy told which timer cut: collect the proxies' spans or access logs to see it.")
        return
    names = [f"{FLAGS.get(flag, flag)} ({flag})" for flag in cuts["flag"]]
    right.dataframe(cuts.select("hop", pl.Series("ended by", names), "calls"), hide_index=True, width="stretch")
    right.caption("As the outermost proxy of each hop flagged it, calls that are no streams among them.")


def _clock(view: View, keys: list[str], phase: Phase, title: str) -> None:
    st.subheader(title)
    report = view.report(keys, phase=phase)
    seen = labelled(report.filter(pl.col("timed") > 0), keys)
    if seen.is_empty():
        st.caption("Nobody saw it: wrap streams in `observe_stream`.")
        return
    st.plotly_chart(quantile_dots(seen, GROUP, title.lower()), key=f"dots_{phase}")
    st.dataframe(quantile_table(seen, keys), hide_index=True, width="stretch", key=f"table_{phase}")


PAGE: Final = Page("Streams", "streams", ":material/water:", 30, render)
