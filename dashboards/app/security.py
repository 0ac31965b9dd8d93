"""Security: who calls whom, encrypted or not, proved to be whom; what is exposed; hosts outside against the approved list."""

from typing import Final

import polars as pl
import streamlit as st

from meshslo.analysis.security import Security
from meshslo.dashboards.figures import who_calls_whom
from meshslo.dashboards.frames import edge_table, hop_rows, host_table, security_rows
from meshslo.dashboards.text import share_text
from meshslo.telemetry.vocabulary import UNKNOWN

from . import Page
from .drawing import Card, cards, draw, table, tell_findings
from .view import View

HOW_TO_KNOW: Final = (
    "No call says over which connection it came, so nobody is known by more than a name. A service's own spans cannot: collect "
    "access logs (docs/access_logs.md), Istio's or Linkerd's metrics, or Envoy's spans with the caller's identity as a tag."
)


def render(view: View) -> None:
    """Figures and findings, then hops by protection and identity, then hosts outside; the hops from rollups meanwhile."""
    top, picture = st.container(), st.empty()
    with picture:
        draw(who_calls_whom(_unprotected(view)), "hops_meanwhile")
    found = view.security()
    with picture:
        draw(who_calls_whom(security_rows(found)), "callers")
    with top:
        _headline(found)
        if found.edges and not any(edge.mutual or edge.plain or edge.caller_identity for edge in found.edges):
            st.info(HOW_TO_KNOW, icon=":material/info:")
        tell_findings(found.findings)
    _below(found)


def _below(found: Security) -> None:
    st.subheader("Who calls whom")
    table(edge_table(found), "edges")
    st.caption(
        "Calls of each hop by the identities that certificates proved, from the side that knows most of its connections. "
        "Findings and hosts are of the whole window; routes, models and tenants that are chosen do not apply here."
    )
    if any(UNKNOWN in (edge.caller, edge.callee) for edge in found.edges):
        st.caption(f"{UNKNOWN}: neither spans nor logs name this side; what it proved to be stands beside it.")
    st.subheader("Hosts outside the mesh")
    if found.hosts:
        table(host_table(found), "hosts")
        st.caption("Approved are those of `approved_hosts` under `[egress]` in meshslo.toml.")
    else:
        st.caption("No call was seen to leave the mesh.")


def _unprotected(view: View) -> pl.DataFrame:
    """The hops as rollups know them: nothing of connections."""
    hops = hop_rows(view.every_hop().report(["hop"], quantiles=(0.99,), bursts=False))
    return hops.with_columns(mutual=pl.lit(0), plain=pl.lit(0))


def _headline(found: Security) -> None:
    calls, mutual, plain = (sum(getattr(edge, name) for edge in found.edges) for name in ("calls", "mutual", "plain"))
    untold = calls - mutual - plain
    hosts, strange = {each.host for each in found.hosts}, {each.host for each in found.hosts if each.approved is False}
    outside = "none outside" if not found.hosts else f"{sum(host.calls for host in found.hosts):,} calls"
    hops = len({(edge.caller, edge.callee) for edge in found.edges})
    row: list[Card] = [
        ("calls inside", f"{calls:,}", f"{hops} hop{'s' * (hops != 1)}"),
        ("mutual TLS", f"{mutual:,}", share_text(mutual, calls)),
        ("plain", f"{plain:,}", share_text(plain, calls)),
        ("not told", f"{untold:,}", share_text(untold, calls)),
        ("hosts not approved", f"{len(strange)} of {len(hosts)}", outside),
    ]
    cards(row)


PAGE: Final = Page("Security", "security", ":material/shield:", 47, render)
