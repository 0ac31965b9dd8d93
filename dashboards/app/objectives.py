"""SLO: what was promised, what is left of the error budgets, how fast they burn."""

from typing import Final, Literal, get_args

import polars as pl
import streamlit as st

from meshslo.analysis.quantile import Interval
from meshslo.analysis.slo.standing import Standing
from meshslo.analysis.slo.windows import window_text
from meshslo.dashboards.figures import budgets
from meshslo.dashboards.figures.theme import NOT_SET
from meshslo.dashboards.standings import WORST, budget_left, percent_text, status_text

from . import Page
from .answers import config
from .drawing import draw, table, tell_piles
from .shell import part
from .view import View

EXAMPLE: Final = """[[slo]]
name = "first-token"
hop = "ingress>gateway"
sli = "first_token"
threshold_s = 2.0
target = 0.99
window = "7d"
"""


Key = Literal["tenant", "model", "route"]
KEYS: Final[tuple[Key, ...]] = get_args(Key)


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
    standings = sorted(found.standings, key=budget_left)
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
    _worst(view)


@part
def _worst(view: View) -> None:
    """The objectives once for each tenant, model or route, those with the least left first."""
    st.subheader("Who fares worst")
    key: Key = st.segmented_control(
        "For each", KEYS, format_func=str.capitalize, default=KEYS[0], required=True, key="slo_each", bind="query-params"
    )
    ordered = sorted(view.objectives(key).standings, key=budget_left)
    if not ordered:
        st.caption(f"No objective leaves the {key} open.")
        return
    table(pl.DataFrame([{key: _whom(each, key), **_standing(each)} for each in ordered[:WORST]]), "worst")
    more = f" {len(ordered) - WORST:,} more have more budget left." if len(ordered) > WORST else ""
    st.caption(f"Each objective once for each {key} that it leaves open, the least budget left first.{more}")


def _whom(standing: Standing, key: Key) -> str:
    return getattr(standing.objective, key) or NOT_SET


def _budget(standing: Standing, left: Interval) -> dict[str, object]:
    return {"name": standing.objective.name, "status": standing.status, **vars(left)}


def _standing(standing: Standing) -> dict[str, object]:
    return {
        "objective": standing.objective.name,
        "status": status_text(standing),
        "budget left": _interval(standing.budget_left),
        "kept it": _interval(standing.attained),
        "calls": standing.counts.calls,
        "unknown": standing.counts.unknown,
    }


def _row(standing: Standing) -> dict[str, object]:
    return _standing(standing) | {
        "promise": f"{' '.join(standing.objective.selection.values())}: {standing.objective}",
        "seen by": standing.vantage,
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
    return f"{percent_text(shares.estimate)} % ({percent_text(shares.low)} to {percent_text(shares.high)} %)"


PAGE: Final = Page("SLO", "slo", ":material/target:", 45, render)
