"""What a timeout costs: the share of calls that it cuts falsely, at any length, worked out at once from its life table."""

from typing import Any, Final

import streamlit as st

from meshslo.analysis.policy.durations import round_up
from meshslo.analysis.quantile import Quantile
from meshslo.analysis.recommend import Recommendation
from meshslo.analysis.recommend.words import seconds, share
from meshslo.analysis.survival import LifeTable
from meshslo.dashboards.figures import Limit, trade_off
from meshslo.dashboards.frames import curve, item_limits, table_of
from meshslo.dashboards.text import quantile_text, seconds_text

from .drawing import draw
from .view import View

BUDGETS: Final = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Shares of calls that a timer may cut falsely, to choose from; the config's own is always among them."""

FAR: Final = 10.0
"""A timeout so many times the longest call is left out of the picture, which it would squeeze into a corner."""

WIDTH: Final = 230
"""Pixels of a figure."""

UNKNOWN: Final = 0.5
"""An upper limit above this, where nothing was seen, says nothing."""


def closely(view: View, item: Recommendation) -> None:
    """The slider of the false-timeout budget, what timeout it asks for, and the curve."""
    asked = view.observed().config.false_timeout_ratio(item.target.hop)
    budget = st.select_slider(
        "False-timeout budget", sorted({*BUDGETS, asked}), value=asked, format_func=share, key=f"budget {asked:g}", help=_HELP
    )
    life = table_of(view.observed(), item)
    quantile = life.quantile(1.0 - budget, item.confidence)
    value_s = timeout_s(quantile)
    _numbers(item, life, quantile, value_s)
    lines = item_limits(item) + ([] if value_s is None else [Limit(f"at {share(budget)}", value_s, proposed=True)])
    near = [line for line in lines if line.value_s <= FAR * life.longest_s]
    draw(trade_off(curve(life, "calls it would cut"), budget, near), "trade_off")
    far = ", ".join(f"{line.name} {seconds_text(line.value_s)}" for line in lines if line not in near)
    st.caption(
        f"From {life.calls:,} calls, {life.censored:,} of them cut; the longest took {seconds_text(life.longest_s)}; beyond "
        f"that nothing was seen. The band is the 95 % interval.{f' Too far right to draw: {far}.' if far else ''}"
    )


_HELP: Final = "The share of calls that this timer may cut although they would have ended well."


def timeout_s(quantile: Quantile) -> float | None:
    """The timeout that keeps to a budget: the upper bound of its quantile rounded up, as recommended; None if not known."""
    return round_up(quantile.upper_s) if quantile.status == "ok" and quantile.upper_s is not None else None


def _numbers(item: Recommendation, life: LifeTable, quantile: Quantile, value_s: float | None) -> None:
    row = st.container(horizontal=True)
    estimate = quantile_text(vars(quantile))
    help_text = f"{estimate}, {share(item.confidence)} confidence"
    # How many more calls it needs is too long for a figure.
    value = "not known" if quantile.status == "not_identifiable" else estimate.partition(" (")[0]
    _card(row, f"p{100 * quantile.q:g}", value, help_text)
    rule = "The upper bound of that quantile, rounded up to two digits. A chain, or a deadline, may ask for another value."
    _card(row, "timeout at this budget", "not known" if value_s is None else seconds(value_s), rule)
    now_s = None if item.current is None else float(item.current.value)
    for label, at_s in (("would cut falsely", value_s), ("cuts falsely now", now_s)):
        _rate(row, label, life, at_s, item.confidence)


def _card(row: Any, label: str, value: str, told: str) -> None:
    # So wide that no label is cut: on a narrow page the next one stands below.
    row.metric(label, value, border=True, help=told, width=WIDTH)


def _rate(row: Any, label: str, life: LifeTable, at_s: float | None, confidence: float) -> None:
    """The share of calls that a timeout cuts falsely, its interval below; not known where no call was seen so long."""
    if at_s is None:
        _card(row, label, "-", "There is no such timeout, or none is known.")
        return
    found = life.exceedance(at_s, confidence)
    unseen = at_s > life.longest_s and found.high > UNKNOWN
    words = f"{share(confidence)} interval at {seconds(at_s)}: {_percent(found.low)} to {_percent(found.high)}"
    reason = f"No call was seen as long as {seconds(at_s)}." if unseen else words
    _card(row, label, "not known" if unseen else _percent(found.estimate), reason)


def _percent(ratio: float) -> str:
    return share(ratio) if ratio > 0 else "0 %"
