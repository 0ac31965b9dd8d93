"""Recommendations: what to set, why, at what price; the policies to take away."""

from typing import Final

import polars as pl
import streamlit as st

from meshslo.analysis.emit import emitters
from meshslo.analysis.policy.durations import round_up
from meshslo.analysis.policy.settings import SETTINGS
from meshslo.analysis.recommend import Recommendation, Recommendations
from meshslo.analysis.recommend.words import seconds, share
from meshslo.dashboards.figures import Limit, trade_off
from meshslo.dashboards.text import amount_text, quantile_text, seconds_text

from . import Page
from .download import policies
from .frames import curve, item_limits, table_of
from .view import View

BUDGETS: Final = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Shares of calls that a timer may cut falsely, to choose from."""

NAMES: Final = {
    "change": "change",
    "explore": "explore",
    "keep": "keep",
    "not_identifiable": "not identifiable",
    "not_expressible": "not expressible",
}

WORTH: Final = ("change", "explore")
"""What is there to do."""


def render(view: View) -> None:
    """The list, one item closely, the downloads."""
    found = view.recommendations()
    if not found.items:
        st.info(
            "There is nothing to recommend for what is shown: settings follow from single calls (spans), not from metrics. "
            "Widen the filters, or collect spans with `meshslo collect`.",
            icon=":material/info:",
        )
        return
    if view.filters.tenant:
        st.caption("Settings of a mesh hold for all tenants: the tenant filter does not apply here.")
    _list(found)
    _closely(view, found)
    _downloads(view)


def _list(found: Recommendations) -> None:
    there = [name for name in NAMES if any(item.status == name for item in found.items)]
    chosen = st.pills(
        "Show",
        there,
        selection_mode="multi",
        default=[name for name in there if name in WORTH] or there,
        format_func=lambda name: f"{NAMES[name]} ({sum(item.status == name for item in found.items)})",
        key="statuses",
    )
    st.dataframe(
        pl.DataFrame([_row(item) for item in found.items if item.status in chosen], schema=_ROW),
        hide_index=True,
        width="stretch",
    )


_ROW: Final = pl.Schema(
    dict.fromkeys(("hop", "route", "model", "setting", "status", "now", "proposed", "effect"), pl.String())
    | {"calls": pl.Int64()}
    | dict.fromkeys(("confidence", "reason"), pl.String())
)


def _row(item: Recommendation) -> dict[str, object]:
    return vars(item.target) | {
        "setting": item.setting,
        "status": NAMES[item.status],
        "now": "-" if item.current is None else amount_text(item.current.value, item.current.unit),
        "proposed": "-" if item.proposed is None else amount_text(item.proposed.value, item.proposed.unit),
        "effect": _effect(item),
        "calls": item.evidence.calls,
        "confidence": share(item.confidence),
        "reason": item.reason,
    }


def _effect(item: Recommendation) -> str:
    """What the change does to the share of calls cut falsely, to amplification and success, where it is known."""
    told = []
    for name, words in (
        ("false_timeout_rate", "cut falsely"),
        ("amplification", "calls a request"),
        ("success_rate", "success"),
    ):
        effect = item.effect.get(name)
        if effect is not None and (effect.after is not None or effect.after_high is not None):
            show = (lambda value: f"{value:.3g}") if name == "amplification" else share
            before = "?" if effect.before is None else show(effect.before)
            after = (
                f"at most {show(effect.after_high)}"
                if effect.after is None and effect.after_high is not None
                else show(effect.after or 0.0)
            )
            told.append(f"{words} {before} → {after}")
    return "; ".join(told) or "-"


def _closely(view: View, found: Recommendations) -> None:
    """One timeout: its reason, and what it would be at another budget."""
    timeouts = [item for item in found.items if SETTINGS[item.setting].unit == "s" and item.evidence.calls]
    if not timeouts:
        return
    st.subheader("What a timeout costs")
    place = st.selectbox(
        "Timeout",
        range(len(timeouts)),
        index=next((n for n, item in enumerate(timeouts) if item.status in WORTH), 0),
        format_func=lambda n: f"{timeouts[n].setting} of {timeouts[n].target} ({NAMES[timeouts[n].status]})",
        key="timeout",
    )
    item = timeouts[place]
    budget = st.select_slider(
        "False-timeout budget", BUDGETS, value=_nearest(1.0 - _asked(view, item)), format_func=share, key="budget"
    )
    _price(view, item, float(budget))
    st.markdown(f"**{item.setting}** of {item.target}: {NAMES[item.status]}. {item.reason}.")


def _asked(view: View, item: Recommendation) -> float:
    """The quantile that the config's budget for the hop names."""
    return 1.0 - view.observed().config.false_timeout_ratio(item.target.hop)


def _nearest(budget: float) -> float:
    return min(BUDGETS, key=lambda known: abs(known - budget))


def _price(view: View, item: Recommendation, budget: float) -> None:
    table = table_of(view.observed(), item)
    quantile = table.quantile(1.0 - budget, item.confidence)
    known = quantile.status == "ok" and quantile.upper_s is not None
    value_s = round_up(quantile.upper_s) if known and quantile.upper_s is not None else None
    cells = st.columns(4)
    estimate = quantile_text(vars(quantile))
    cells[0].metric(
        f"p{100 * (1 - budget):g}",
        estimate.partition(" (")[0],
        border=True,
        help=f"{estimate}, {share(item.confidence)} confidence",
    )
    cells[1].metric(
        "timeout at this budget",
        "not known" if value_s is None else seconds(value_s),
        border=True,
        help="The upper bound of that quantile, rounded up to two digits; a chain may need more.",
    )
    cells[2].metric(
        "cuts falsely then", "-" if value_s is None else _cut(table.exceedance(value_s, item.confidence).estimate), border=True
    )
    now = None if item.current is None else table.exceedance(float(item.current.value), item.confidence)
    cells[3].metric(
        "cuts falsely now", "no timer known" if now is None else f"{_cut(now.low)} to {_cut(now.high)}", border=True
    )
    lines = item_limits(item) + ([] if value_s is None else [Limit(f"at {share(budget)}", value_s, proposed=True)])
    st.plotly_chart(trade_off(curve(table, "calls it would cut"), budget, lines), key="trade_off")
    st.caption(
        f"From {table.calls:,} calls, {table.censored:,} of them cut; the longest took {seconds_text(table.longest_s)}; "
        "beyond that nothing was seen. The band is the 95 % interval."
    )


def _cut(ratio: float) -> str:
    return share(ratio) if ratio > 0 else "0 %"


def _downloads(view: View) -> None:
    """Policies of each mesh, for all hops: a policy that leaves out what the filter hides would undo it."""
    st.subheader("Take it away")
    names = sorted(emitters())
    for cell, name in zip(st.columns(len(names) + 1), names, strict=False):
        file = policies(view, name)
        if file is None:
            cell.button(
                name, disabled=True, key=f"emit_{name}", help=f"Nothing here can be written for {name}.", width="stretch"
            )
        else:
            cell.download_button(
                name,
                file.content,
                file.name,
                file.kind,
                key=f"emit_{name}",
                icon=":material/download:",
                width="stretch",
                on_click="ignore",
            )
    st.columns(len(names) + 1)
    st.caption(
        "Policies for everything in the window, whatever hops and models are chosen: what a filter hides stays in force."
    )


PAGE: Final = Page("Recommendations", "recommendations", ":material/tune:", 40, render)
