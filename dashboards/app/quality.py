"""Data quality: whether the data can bear the answers."""

from typing import Final

import polars as pl
import streamlit as st

from meshslo.analysis.doctor import Diagnosis
from meshslo.dashboards.text import seconds_text, share_text

from . import Page
from .drawing import table, tell_findings
from .view import View


def render(view: View) -> None:
    """Findings, the worst first; what each vantage saw; how vantages compare."""
    st.caption("The whole window, whatever hops, routes, models or tenants are chosen.")
    findings = st.container()
    st.subheader("Who saw what")
    # From rollups at once; what is known of each call takes a look at all of them.
    known = st.empty()
    with known.container():
        table(view.seen(), "seen")
    found = view.diagnosis()
    with findings:
        tell_findings(found.findings)
    with known.container():
        table(coverage(found), "coverage")
    st.caption("Share of calls on which it is known; of streams that ended well for the last two.")
    if found.comparisons:
        st.subheader("One hop, two vantages")
        table(_comparisons(found), "comparisons")
        st.caption("The outer vantage waits at least as long as the inner one: nested is as it should be.")


def coverage(found: Diagnosis) -> pl.DataFrame:
    """One row a hop and vantage: calls, and the share of them on which each thing is known."""
    rows = [
        {"hop": row["hop"], "vantage": str(row["vantage"]), "calls": row["calls"]}
        | {name: share_text(row[name], row["calls"]) for name in ("tenant", "model", "caller", "weight")}
        | {"streams": row["streams"]}
        | {
            name.replace("_", " "): share_text(row[name], row["streams_ok"]) if row["streams_ok"] else "-"
            for name in ("first_token", "max_gap")
        }
        for row in found.coverage.hops.iter_rows(named=True)
    ]
    return pl.DataFrame(rows)


def _comparisons(found: Diagnosis) -> pl.DataFrame:
    rows = [
        {
            "hop": item.hop,
            "quantile": f"p{100 * item.q:g}",
            "outer": f"{item.outer} {_interval(item.outer_s, item.outer_low_s, item.outer_high_s)}",
            "inner": f"{item.inner} {_interval(item.inner_s, item.inner_low_s, item.inner_high_s)}",
            "verdict": "too few calls" if item.verdict == "unknown" else item.verdict,
        }
        for item in found.comparisons
    ]
    return pl.DataFrame(rows)


def _interval(value_s: float | None, low_s: float | None, high_s: float | None) -> str:
    if value_s is None:
        return "-"
    high = "?" if high_s is None else seconds_text(high_s)
    return f"{seconds_text(value_s)} ({seconds_text(low_s)} to {high})"


PAGE: Final = Page("Data quality", "data-quality", ":material/fact_check:", 50, render)
