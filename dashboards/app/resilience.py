"""Resilience: calls in progress and how many each callee bears, pods that fail or are slow, calls between zones."""

from datetime import datetime
from typing import Final

import streamlit as st

from meshslo.analysis.resilience import Load, Resilience
from meshslo.dashboards.buckets import every
from meshslo.dashboards.figures import calls_between_zones, ejections, in_progress, load_curve
from meshslo.dashboards.resilience import bears_text, level_rows, load_table, out_rows, pod_table, zone_rows, zone_table
from meshslo.dashboards.text import share_text

from . import Page
from .drawing import cards, draw, every_call, table
from .view import View

HOW_TO_NAME_PODS: Final = (
    "No call names the pod that answered it. Services name theirs by the resource attribute `k8s.pod.name`, sidecars by their "
    "own; then broken and slow pods are found here."
)
HOW_TO_NAME_ZONES: Final = "No call names the zones of both its sides (`cloud.availability_zone` of caller and callee)."


def render(view: View) -> None:
    """Calls in progress from rollups, there at once; then single calls: what load does, pods, zones."""
    top = st.container()
    st.subheader("Calls in progress")
    draw(in_progress(view.in_progress()), "in_progress")
    st.caption(
        f"On average over {every(view.bucket)}, by Little's law from what is rolled up; a call counts where it began. Within "
        "it there are moments with more."
    )
    if not every_call(view, "What load does to each callee, its pods and zones follow from single calls."):
        return
    found = view.resilience()
    with top:
        _headline(found)
    _loads(found)
    _pods(found, view.extent[1])
    _zones(found)
    if found.notes:
        with st.expander(f"What is not known, and what is missing for it ({len(found.notes)})"):
            st.markdown("\n".join(f"* {note}." for note in found.notes))
    st.caption("What to set: page Recommendations, or `meshslo recommend breakers outliers localities`.")


def _headline(found: Resilience) -> None:
    asked = [load for load in found.loads if load.bears is not None]
    over = [load for load in asked if load.bears is not None and load.most > load.bears.at]
    broken, slow = [pod for pod in found.pods if pod.broken], [pod for pod in found.pods if pod.slow_ratio is not None]
    busiest = max(found.loads, key=lambda load: load.most, default=None)
    away = sum(pair.calls for pair in found.zones if pair.from_zone != pair.to_zone)
    whole = sum(pair.calls for pair in found.zones)
    cards(
        [
            ("most at a time", "-" if busiest is None else f"{busiest.most:,.0f}", busiest.callee if busiest else ""),
            (
                "past their knee",
                f"{len(over)} of {len(asked)}" if asked else "-",
                ", ".join(load.callee for load in over) or ("callees with a knee" if asked else "no knee was seen"),
            ),
            ("broken pods", f"{len(broken)} of {len(found.pods)}", ", ".join(pod.pod for pod in broken)),
            ("slow pods", f"{len(slow)} of {len(found.pods)}", ", ".join(pod.pod for pod in slow)),
            ("between zones", share_text(away, whole) if whole else "-", f"of {whole:,} calls" if whole else "no zones named"),
        ]
    )


def _loads(found: Resilience) -> None:
    st.subheader("What load does")
    shown = {load.callee: load for load in found.loads if load.levels}
    if shown:
        first = max(shown.values(), key=lambda load: (load.bears is not None, load.most))
        names = sorted(shown)
        chosen = st.selectbox("Callee", names, index=names.index(first.callee), key="callee", bind="query-params")
        _load(shown[str(chosen)])
    table(load_table(found), "loads")
    st.caption(
        "Bears: calls at a time, all callers together. Each proxy: its part of them, as the limit of each client proxy "
        "(`max_concurrent_requests`)."
    )


def _load(load: Load) -> None:
    draw(load_curve(level_rows(load), load.bears, load.waits), "load_curve")
    many = "calls" if load.seen_by == "calls" else "minutes of metrics"
    st.caption(
        f"{load.callee} bears: {bears_text(load)}. Each dot is a level of load, the larger the more {many}; calls of one "
        "route, model and size of prompt are compared. Dotted: as long as at low load."
    )


def _pods(found: Resilience, until: datetime) -> None:
    st.subheader("Pods")
    if not found.pods:
        st.info(HOW_TO_NAME_PODS, icon=":material/info:")
        return
    if found.ejections:
        draw(ejections(out_rows(found, until)), "ejections")
        st.caption(
            "When outlier detection as recommended would have had a pod out, replayed with Envoy's algorithm on these calls. "
            "What your proxies did eject, their own metrics say (Grafana: resilience)."
        )
    # What makes a pod slow is a sentence, and told of few.
    told = {"broken": any(pod.broken for pod in found.pods), "slow": any(pod.slow_ratio is not None for pod in found.pods)}
    table(pod_table(found), "pods", wide=tuple(name for name, is_told in told.items() if is_told))
    st.caption("Broken and slow are sure: at most one such finding in twenty is chance. No mesh ejects a slow pod.")


def _zones(found: Resilience) -> None:
    st.subheader("Zones")
    hops = sorted({pair.hop for pair in found.zones})
    if not hops:
        st.info(HOW_TO_NAME_ZONES, icon=":material/info:")
        return
    chosen = hops[0] if len(hops) == 1 else str(st.selectbox("Hop", hops, key="zone_hop", bind="query-params"))
    draw(calls_between_zones(zone_rows(found, chosen)), "zones")
    with st.expander("As a table"):
        table(zone_table(found), "zone_table")
    st.caption("What calls between zones cost a day follows from the prices in meshslo.toml, where there are any.")


PAGE: Final = Page("Resilience", "resilience", ":material/health_and_safety:", 42, render)
