"""Two sides beside each other: this window and the one before, or two values of a key; what differs beyond noise."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import polars as pl
import streamlit as st

from meshslo.analysis.comparison import Compared
from meshslo.dashboards.commands.compare import change_text, side_text, summary, what_texts
from meshslo.dashboards.figures.theme import named
from meshslo.telemetry.errors import MeshsloError
from meshslo.telemetry.vocabulary import Phase

from .answers import Sides
from .drawing import sentences, table
from .view import View

NOTHING, WINDOWS = "nothing", "window before"
_HELP: Final = "This window with the one before it, as long as this; or two versions, models, tenants, zones or routes."
KEYS: Final = ("version", "model", "tenant", "zone", "route")


def compare(view: View, phase: Phase) -> None:
    """Ask what to compare, then say what differs."""
    st.subheader("What changed")
    cells = st.columns(3)
    choice = cells[0].selectbox("Compare by", [NOTHING, WINDOWS, *KEYS], key="compare", bind="query-params", help=_HELP)
    if choice == NOTHING:
        return
    sides = _windows(view) if choice == WINDOWS else _values(view, choice, cells[1:])
    if sides is None:
        st.caption(f"There are no two values of {choice} among these calls.")
        return
    try:
        found = view.comparison(sides, phase)
    except MeshsloError as reason:
        st.caption(sentences([f"nothing to compare: {reason}"]))
        return
    _show(found)


def _windows(view: View) -> Sides:
    """The window before, as long as this one; where there is nothing before, the later half with the earlier one."""
    first, last = view.extent
    if view.asked.since is None:
        middle = first + (last - first) / 2
        return Sides(baseline=(first, middle), since=middle)
    until = view.asked.until or last + timedelta(microseconds=1)
    return Sides(baseline=(view.asked.since - (until - view.asked.since), view.asked.since))


def _values(view: View, key: str, cells: Sequence[Any]) -> Sides | None:
    values = named([value for value in view.values(key) if value is not None])
    if len(values) < 2:
        return None
    a = cells[0].selectbox("A", values, index=0, key="compare_a", bind="query-params")
    b = cells[1].selectbox("B", [value for value in values if value != a], key="compare_b", bind="query-params")
    return Sides(key, a, str(b))


def _show(found: Compared) -> None:
    rows = [
        {
            "what": what,
            "A": side_text(each.a, each),
            "B": side_text(each.b, each),
            "B - A": change_text(each),
            "verdict": each.verdict.replace("_", " "),
        }
        for what, each in zip(what_texts(found), found.differences, strict=True)
    ]
    st.markdown(f"**A:** {found.a}  \n**B:** {found.b}")
    table(pl.DataFrame(rows, schema=dict.fromkeys(("what", "A", "B", "B - A", "verdict"), pl.String)), "differences")
    st.caption(sentences([summary(found), *found.left_out]))
