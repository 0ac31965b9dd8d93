"""Recommendations: what to set, why, at what price; the policies to take away."""

from collections.abc import Sequence
from typing import Final

import polars as pl
import streamlit as st

from meshslo.analysis.emit import emitters
from meshslo.analysis.policy.settings import SETTINGS
from meshslo.analysis.recommend import Recommendation
from meshslo.analysis.recommend.recommendation import Effect
from meshslo.analysis.recommend.words import share
from meshslo.dashboards.figures import still_running
from meshslo.dashboards.frames import GROUP, curves, labelled, largest
from meshslo.dashboards.text import amount_text, seconds_text

from . import Page
from .download import NOT_FOR_SOME, File, policies
from .drawing import draw, list_to_pick_from, sentences
from .latency import MOST_LINES
from .price import closely
from .shell import part
from .view import View
from .what_if import what_if

NAMES: Final = {
    "change": "change",
    "explore": "explore",
    "keep": "keep",
    "not_identifiable": "not identifiable",
    "not_expressible": "not expressible",
}

WORTH: Final = ("change", "explore")
"""What is there to do."""

EFFECTS: Final = {"false_timeout_rate": "cut falsely", "amplification": "calls a request", "success_rate": "success"}
"""Effects worth a word in the list."""


def render(view: View) -> None:
    """The list, one timeout closely, what if, the downloads; first of all the picture that needs no single call.

    Each part is a fragment: a mark or the slider makes nothing else anew, not even where calls came meanwhile.
    """
    place = st.container()
    _overview(view)
    with place:
        items = _items(view)
    if items:
        _below(view, items)


def _overview(view: View) -> None:
    """What total timeouts would cut, hop by hop, from what is rolled up: there at once, however many calls there are."""
    with st.expander("What a total timeout would cut on each hop", expanded=True):
        report = labelled(view.report(["hop"], quantiles=(0.5,), bursts=False), ["hop"])
        names = largest(report.filter(pl.col("timed") > 0), MOST_LINES)[GROUP].unique(maintain_order=True).to_list()
        draw(still_running(curves(view.rollup("total"), ["hop"], names), "total timeout", []), "overview")
        st.caption("The share of calls that still run then. A curve that ends early ends where the longest call was cut.")


def _items(view: View) -> list[Recommendation]:
    """The list; empty, with a word, where there is nothing to recommend."""
    items = sorted(view.recommendations().items, key=lambda item: item.kind != "timeout")
    if not items:
        st.info("There is nothing to recommend for what is shown: widen or reset the filters.", icon=":material/info:")
        return []
    if view.filters.tenant:
        st.caption("Settings of a mesh hold for all tenants: the tenant filter does not apply here.")
    _list(items)
    return items


def _below(view: View, items: Sequence[Recommendation]) -> None:
    timeouts = [item for item in items if SETTINGS[item.setting].unit == "s" and item.evidence.calls]
    if timeouts:
        _timeout(view, timeouts)
    what_if(view)
    _downloads(view)


@st.fragment
def _list(items: Sequence[Recommendation]) -> None:
    counts = {status: sum(item.status == status for item in items) for status in NAMES}
    there = [status for status, count in counts.items() if count]
    chosen = st.pills(
        "Show",
        there,
        selection_mode="multi",
        default=[status for status in there if status in WORTH] or there,
        format_func=lambda status: f"{NAMES[status]} ({counts[status]})",
        key="statuses",
    )
    shown = [item for item in items if item.status in chosen]
    frame = pl.DataFrame([_row(item) for item in shown], schema=_ROW)
    # A column that says "all" in each line says nothing.
    silent = [key for key in ("route", "model") if frame.filter(pl.col(key) != ALL).is_empty()]
    row = list_to_pick_from(frame.drop(silent), "recommendations", wide=("reason",))
    if row is None:
        st.caption("Mark a line at its left to read its reason in full, and what it rests on.")
    else:
        _evidence(shown[row])


ALL: Final = "all"

_ROW: Final = pl.Schema(
    dict.fromkeys(("hop", "route", "model", "setting", "now", "proposed", "status", "effect", "confidence"), pl.String())
    | {"calls": pl.Int64(), "reason": pl.String()}
)


def _row(item: Recommendation) -> dict[str, object]:
    return {
        "hop": item.target.hop,
        "route": item.target.route or ALL,
        "model": item.target.model or ALL,
        "setting": item.setting,
        "status": NAMES[item.status],
        "now": "-" if item.current is None else amount_text(item.current.value, item.current.unit),
        "proposed": "-" if item.proposed is None else amount_text(item.proposed.value, item.proposed.unit),
        "effect": "; ".join(_effect(name, item.effect[name]) for name in EFFECTS if name in item.effect) or "-",
        "calls": item.evidence.calls,
        "confidence": share(item.confidence),
        "reason": item.reason,
    }


def _evidence(item: Recommendation) -> None:
    """The reason of one recommendation, and the calls, the window and the estimate behind it."""
    found = item.evidence
    told = [f"{found.calls:,} calls, {found.censored:,} of them cut, over {seconds_text(found.window_s)}"]
    if found.estimate is not None and SETTINGS[item.setting].unit == "s":
        low, high = ("?" if end is None else seconds_text(end) for end in (found.low, found.high))
        told.append(f"estimate {seconds_text(found.estimate)} ({low} to {high}), {share(item.confidence)} confidence")
    st.markdown(f"**{item.setting}** of {item.target}, **{NAMES[item.status]}**: {item.reason}.")
    st.caption(sentences(told))


def _effect(name: str, effect: Effect) -> str:
    """A quantity before, where it is known, and after; "at most" where only the limit of it is known."""
    before = "" if effect.before is None else f"{_amount(name, effect.before)} → "
    after = _amount(name, effect.after)
    if effect.after_high is not None:
        bound = f"at most {_amount(name, effect.after_high)}"
        after = bound if effect.after is None else f"{after} ({bound})"
    return f"{EFFECTS[name]} {before}{after}"


def _amount(name: str, value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:.3g}" if name == "amplification" else share(value)


@part
def _timeout(view: View, timeouts: Sequence[Recommendation]) -> None:
    """One timeout at another budget than the config's, and the reason of what is recommended."""
    st.subheader("What a timeout costs")
    place = st.selectbox(
        "Timeout",
        range(len(timeouts)),
        index=_most_telling(timeouts),
        format_func=lambda n: f"{timeouts[n].setting} of {timeouts[n].target} ({NAMES[timeouts[n].status]})",
        key="timeout",
    )
    item = timeouts[place]
    closely(view, item)
    st.markdown(f"**{item.setting}** of {item.target}, **{NAMES[item.status]}**: {item.reason}.")


def _most_telling(timeouts: Sequence[Recommendation]) -> int:
    """Where to begin: a timeout whose price is known, best a total one that is deployed; else what is there to explore."""

    def told(place: int) -> tuple[bool, bool, bool, bool]:
        item = timeouts[place]
        return item.status != "change", item.status != "explore", item.current is None, item.setting != "total_timeout"

    return min(range(len(timeouts)), key=told)


@part
def _downloads(view: View) -> None:
    """Policies of one mesh, for all hops: a policy that left out what the filter hides would undo it.

    Written once a mesh is chosen: thousands of settings take as long to write as they take to be worked out.
    """
    st.subheader("Take it away")
    if view.asked.tenants is not None:
        st.caption(NOT_FOR_SOME)
        return
    mesh = st.segmented_control("Policies for", sorted(emitters()), key="mesh", bind="query-params")
    if mesh is not None:
        _download(policies(view, mesh), mesh)
    st.caption(
        "Policies for everything in the window, whatever hops and models are chosen: what a filter hides stays in force."
    )


def _download(file: File | None, mesh: str) -> None:
    if file is None:
        st.caption(f"Nothing to write for {mesh}.")
        return
    st.download_button(
        file.name, file.content, file.name, file.kind, key="download", icon=":material/download:", on_click="ignore"
    )


PAGE: Final = Page("Recommendations", "recommendations", ":material/tune:", 40, render)
