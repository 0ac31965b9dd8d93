"""How figures and tables stand on a page."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import polars as pl
import streamlit as st

from meshslo.analysis.deadlines import Pile


def draw(figure: Any, key: str, *, clicked: Callable[[], None] | None = None) -> None:
    """A figure over the whole width, without the bar of buttons; `clicked` is called when a point of it is chosen."""
    plain = {"displayModeBar": False}
    if clicked is None:
        st.plotly_chart(figure, key=key, config=plain)
    else:
        st.plotly_chart(figure, key=key, config=plain, on_select=clicked, selection_mode="points")


def sentences(told: Iterable[str]) -> str:
    """Clauses as sentences, one after the other.

    >>> sentences(["one trace in 3 was looked at", "nothing moved"])
    'One trace in 3 was looked at. Nothing moved.'
    """
    return " ".join(f"{clause[:1].upper()}{clause[1:]}." for clause in told)


def card(cell: Any, label: str, value: str, below: str = "") -> None:
    """A figure in a frame, with what is to be known of it below; all cards of a row are as high."""
    cell.metric(label, value, below or None, delta_color="off", delta_arrow="off", border=True, height="stretch")


def tell_piles(piles: Sequence[Pile]) -> None:
    """Say which deadlines nobody told of, so that calls at them count as cut."""
    for pile in piles:
        st.warning(f"Hidden deadline: {pile}.", icon=":material/timer_off:")


def table(frame: pl.DataFrame, key: str, *, wide: tuple[str, ...] = ()) -> None:
    """A frame over the whole width: whole numbers with their thousands apart, the columns `wide` with room to read."""
    whole = {
        name: st.column_config.NumberColumn(format="localized") for name, kind in frame.schema.items() if kind.is_integer()
    }
    roomy = {name: st.column_config.TextColumn(width="large") for name in wide}
    st.dataframe(frame, hide_index=True, width="stretch", key=key, column_config=whole | roomy)
