"""What if the recommendations were in force: the window's calls replayed under them."""

from collections.abc import Mapping

import polars as pl
import streamlit as st

from meshslo.analysis.recommend.words import share
from meshslo.analysis.simulate import Simulation
from meshslo.analysis.simulate.result import Contrast
from meshslo.dashboards.commands.simulate import NAMES, amount, worth_showing
from meshslo.telemetry.errors import MeshsloError

from .drawing import sentences, table
from .price import BUDGETS
from .shell import part
from .view import View

CHAIN = "(whole chain)"


@part
def what_if(view: View) -> None:
    """A budget to try, a button, and what would become of the calls."""
    st.subheader("What if")
    cells = st.columns([2, 1], vertical_alignment="bottom")
    usual = "as configured"
    chosen = cells[0].selectbox(
        "Recommended values at a false-timeout budget of", [usual, *map(share, BUDGETS)], key="what_if", bind="query-params"
    )
    budget = dict(zip(map(share, BUDGETS), BUDGETS, strict=True)).get(chosen)
    if not cells[1].toggle("Replay the calls", key="replay", bind="query-params"):
        st.caption(
            "Replays the window's calls under the recommended timeouts and retries: what would be cut, repeated, wasted."
        )
        return
    try:
        found = view.simulation(budget)
    except MeshsloError as reason:
        st.caption(f"Not known: {reason}.")
        return
    _show(found)


def _show(found: Simulation) -> None:
    now = "as seen" if found.before_is == "observed" else "now"
    rows = [row for title, figures in _parts(found) for row in _rows(title, figures, now)]
    table(pl.DataFrame(rows, schema=dict.fromkeys(("hop", "what", now, "proposed", "change"), pl.String)), "what_if_table")
    asked = f"{found.requests:,} requests, {found.calls:,} calls; {found.confidence:.0%} intervals are of another such window"
    st.caption(sentences([asked, *found.notes]))


def _parts(found: Simulation) -> list[tuple[str, Mapping[str, Contrast]]]:
    hops = [(" ".join(value for value in row.keys.values() if value), row.figures) for row in found.rows]
    return [(CHAIN, found.chain), *hops]


def _rows(title: str, figures: Mapping[str, Contrast], now: str) -> list[dict[str, str]]:
    return [
        {
            "hop": title,
            "what": NAMES[name].replace("  ", "… "),
            now: amount(name, contrast.before),
            "proposed": amount(name, contrast.after),
            "change": amount(name, contrast.change, signed=True),
        }
        for name, contrast in worth_showing(figures)
    ]
