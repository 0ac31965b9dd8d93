"""SLO: what was promised, what is left of the error budgets, how fast they burn."""

import math
from typing import Final

import polars as pl
import streamlit as st

from meshslo.analysis.quantile import Interval
from meshslo.analysis.slo.standing import Standing
from meshslo.analysis.slo.windows import window_text
from meshslo.dashboards.figures import budgets

from . import Page
from .answers import config
from .drawing import draw, table, tell_piles
from .view import View

EXAMPLE: Final = """[[slo]]
name = "first-token"
hop = "ingress>gateway"
sli = "first_token"
threshold_s = 2.0
target = 0.99
window = "7d"
"""


def render(view: View) -> None:
    """The objectives, the nearest to breaking first, then what burns."""
    if not config(view.asked).slo:
        st.info(
            "No objectives yet: write some into meshslo.toml, and start with `--config meshslo.toml`.", icon=":material/info:"
        )
        st.code(EXAMPLE, language="toml")
        return
    found = view.objectives()
    if not found.standings:
        st.info("No objective is about what is shown: widen or reset the filters.", icon=":material/info:")
        return
    standings = sorted(
        found.standings, key=lambda each: (each.budget_left is None, each.budget_left and each.budget_left.estimate)
    )
    st.caption(f"As of {found.at:%Y-%m-%d %H:%M:%S}Z, each over its own window up to then.")
    known = [_budget(each, each.budget_left) for each in standings if each.budget_left is not None]
    if known:
        draw(budgets(pl.DataFrame(known)), "budgets")
        st.caption(
            "What is left of each error budget, with its 95 % interval: 100 % is untouched, below 0 the objective is missed."
        )
    table(pl.DataFrame([_row(each) for each in standings]), "objectives")
    burning = [row for each in standings for row in _burns(each)]
    st.subheader("How fast budgets burn")
    table(pl.DataFrame(burning), "burns")
    st.caption("1x spends the budget in exactly the objective's window. An alert fires where both windows exceed its factor.")
    hops = {each.objective.hop for each in standings}
    tell_piles([pile for pile in found.piles if pile.hop in hops])


def _budget(standing: Standing, left: Interval) -> dict[str, object]:
    return {"name": standing.objective.name, "status": standing.status, **vars(left)}


def _row(standing: Standing) -> dict[str, object]:
    return {
        "objective": standing.objective.name,
        "status": standing.status.replace("_", " ") + ("" if standing.is_sure or standing.attained is None else " (not sure)"),
        "budget left": _interval(standing.budget_left),
        "kept it": _interval(standing.attained),
        "calls": standing.counts.calls,
        "unknown": standing.counts.unknown,
        "seen by": standing.vantage,
        "promise": f"{' '.join(standing.objective.selection.values())}: {standing.objective}",
    }


def _burns(standing: Standing) -> list[dict[str, object]]:
    return [
        {
            "objective": standing.objective.name,
            "alert": burn.severity,
            "windows": f"{window_text(burn.window.long_s)} and {window_text(burn.window.short_s)}",
            "factor": f"{burn.factor:.3g}x",
            "long": _pace(burn.long),
            "short": _pace(burn.short),
            "fires": "yes" if burn.fires else "no",
        }
        for burn in standing.burns
    ]


def _pace(rate: float | None) -> str:
    return "no calls" if rate is None else f"{rate:.3g}x"


def _interval(shares: Interval | None) -> str:
    if shares is None:
        return "-"
    return f"{_percent(shares.estimate)} % ({_percent(shares.low)} to {_percent(shares.high)} %)"


def _percent(share: float) -> str:
    """A share in per cent; near 100 % with two digits of what is missing.

    >>> _percent(0.99913), _percent(0.997235), _percent(0.5), _percent(-3.456)
    ('99.913', '99.72', '50', '-346')
    """
    percent = 100.0 * share
    if 99.0 < percent < 100.0:
        digits = 1 - math.floor(math.log10(100.0 - percent))
        return f"{percent:.{digits}f}"
    return f"{percent:,.0f}" if abs(percent) >= 100.0 else f"{percent:.3g}"


PAGE: Final = Page("SLO", "slo", ":material/target:", 45, render)
