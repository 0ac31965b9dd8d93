"""Latency: any phase, told apart by any key: quantiles, their course, where calls fall, how long they last."""

from typing import Final

import polars as pl
import streamlit as st

from meshslo.analysis.rollup import KEYS
from meshslo.dashboards.buckets import every
from meshslo.dashboards.figures import AXES, heat_map, over_time, still_running
from meshslo.dashboards.frames import GROUP, curves, heat_cells, in_order, labelled, largest, limits, quantile_table
from meshslo.telemetry.vocabulary import PHASES, Phase

from . import Page
from .comparing import compare
from .drawing import draw, draw_quantiles, table, tell_piles
from .view import View

MOST_LINES: Final = 6
"""Curves that one picture holds, as many as there are colours."""

NAMES: Final[dict[Phase, str]] = {
    "total": "whole call",
    "first_byte": "response headers",
    "first_token": "first token",
    "max_gap": "longest gap between chunks",
}

FURTHER_KEYS: Final = ("version", "zone", "pod", "cluster")


def render(view: View) -> None:
    """Two choices, then four pictures and the table; then two sides compared."""
    row = st.container(horizontal=True)
    phase: Phase = row.segmented_control(
        "Phase", PHASES, format_func=lambda name: NAMES[name], default="total", required=True, key="phase", bind="query-params"
    )
    key = row.selectbox("Tell apart by", [*KEYS, *FURTHER_KEYS], key="by", bind="query-params", width=220)
    keys = list(dict.fromkeys(["hop", key]))
    seen = labelled(view.report(keys, phase=phase, quantiles=(0.5,), bursts=False), keys)
    if not seen["timed"].sum():
        st.info(
            f"Nobody saw the {NAMES[phase]} of these calls. Data quality says which vantages see what.", icon=":material/info:"
        )
        return
    names = largest(seen.filter(pl.col("timed") > 0), MOST_LINES)[GROUP].unique(maintain_order=True).to_list()
    # Intervals that know bursts take the longest.
    place = st.container()
    _course(view, keys, phase, names)
    with place:
        _quantiles(view, keys, phase, names)
    _lasting(view, keys, phase, names)
    tell_piles(view.piles(phase))
    compare(view, phase)


def _quantiles(view: View, keys: list[str], phase: Phase, names: list[str]) -> None:
    st.subheader(f"Quantiles of the {NAMES[phase]}")
    report = labelled(view.report(keys, phase=phase), keys)
    groups = report[GROUP].n_unique()
    if groups > MOST_LINES:
        st.caption(f"The pictures show the {len(names)} largest of {groups} groups; the table shows all.")
    draw_quantiles(report.filter(pl.col(GROUP).is_in(names)), AXES[phase], "quantile_dots")
    with st.expander("As a table", expanded=False):
        table(quantile_table(report, keys), "quantiles")
    if independent := view.independent(phase):
        st.caption(f"Intervals take calls for independent: {independent}.")


def _course(view: View, keys: list[str], phase: Phase, names: list[str]) -> None:
    report = labelled(view.report(keys, phase=phase, quantiles=(0.5, 0.95), timed=True), keys)
    shown = in_order(report.filter(pl.col(GROUP).is_in(names) & (pl.col("timed") > 0)), names)
    left, right = st.columns(2)
    with left:
        st.subheader("Over time")
        _over_time(shown, AXES[phase], every(view.bucket))
    with right:
        st.subheader("Where calls fall")
        draw(heat_map(heat_cells(view.rollup(phase, keys=keys, timed=True)), AXES[phase]), "heat")
        st.caption("Cut calls stand where they were cut.")


def _over_time(shown: pl.DataFrame, title: str, step: str) -> None:
    """Lines with a point each step; words where no point has calls enough."""
    unknown = (shown["status"] == "not_identifiable").sum()
    if unknown == shown.height:
        st.caption(f"Too few calls for quantiles with a point {step}.")
        return
    draw(over_time(shown, GROUP, title), "over_time")
    gaps = f" {unknown} of {shown.height} points have too few calls to tell and are left out." if unknown else ""
    st.caption(
        f"p95 solid, p50 dashed, a point {step}; triangles are lower bounds. Bands are 95 % intervals that take the calls of a "
        f"point for independent.{gaps}"
    )


def _lasting(view: View, keys: list[str], phase: Phase, names: list[str]) -> None:
    st.subheader("How many are still running")
    rows = curves(view.rollup(phase, keys=keys), keys, names)
    one_hop = view.rollup(phase).totals["hop"].n_unique() == 1
    lines = limits(view.recommendations(), phase) if one_hop and view.has_calls() else []
    draw(still_running(rows, AXES[phase], lines), "survival")
    where = "Timeouts deployed now are dashed, proposed ones solid." if one_hop else "Filter one hop to see its timeouts here."
    st.caption(f"A curve that ends above 0.1 % ends where the longest call was cut: what is beyond was not seen. {where}")


PAGE: Final = Page("Latency", "latency", ":material/show_chart:", 20, render)
