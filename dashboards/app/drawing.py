"""How figures and tables stand on a page."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import polars as pl
import streamlit as st

from meshslo.analysis.deadlines import Pile
from meshslo.analysis.doctor import Finding, Severity
from meshslo.dashboards.figures import quantile_dots
from meshslo.dashboards.figures.theme import MOST_TICKS
from meshslo.dashboards.frames import GROUP

from .view import View

FEW_CALLS: Final = 300_000
"""So many are looked at unasked: a second or two."""

CARD_WIDTH: Final = 170
"""Pixels: five stand side by side on a page of common width."""


def draw(figure: Any, key: str, *, clicked: Callable[[], None] | None = None) -> None:
    """A figure over the whole width, without the bar of buttons; `clicked` is called when a point of it is chosen."""
    plain = {"displayModeBar": False}
    if clicked is None:
        st.plotly_chart(figure, key=key, config=plain)
    else:
        st.plotly_chart(figure, key=key, config=plain, on_select=clicked, selection_mode="points")


def draw_quantiles(report: pl.DataFrame, title: str, key: str, *, most_ticks: int = MOST_TICKS) -> None:
    """`quantile_dots` of a labelled report; words instead where no quantile is known, and axes would be all there is."""
    if report["value_s"].is_null().all():
        st.caption("Too few calls for a quantile: the table says how many more it needs.")
    else:
        draw(quantile_dots(report, GROUP, title, most_ticks=most_ticks), key)


def sentences(told: Iterable[str]) -> str:
    """Clauses as sentences, one after the other; the name of a hop at the beginning stays as it is.

    >>> sentences(["one trace in 3 was looked at", "nothing moved", "gateway>generator: no calls"])
    'One trace in 3 was looked at. Nothing moved. gateway>generator: no calls.'
    """
    return " ".join(f"{clause if _is_name(clause) else clause[:1].upper() + clause[1:]}." for clause in told)


def _is_name(clause: str) -> bool:
    return ">" in clause.partition(" ")[0]


Card = tuple[str, str, str]
"""Label, figure, and what is to be known of it."""


def cards(row: Sequence[Card]) -> None:
    """Figures in frames of equal height, side by side, on further lines where the page is narrow."""
    with st.container(horizontal=True):
        for label, value, below in row:
            st.metric(
                label,
                value,
                below or None,
                delta_color="off",
                delta_arrow="off",
                border=True,
                height="stretch",
                width=CARD_WIDTH,
            )


def every_call(view: View, why: str) -> bool:
    """Whether to look at every call now: at once where they are few, else where the reader switches it on."""
    calls = view.calls
    if calls <= FEW_CALLS:
        return True
    words = f"{why} There are {calls:,} of them: it takes a while."
    return bool(st.toggle("Look at every call", key="every_call", bind="query-params", help=words)) or _say(words)


def _say(words: str) -> bool:
    st.caption(words)
    return False


def tell_piles(piles: Sequence[Pile]) -> None:
    """Say which deadlines nobody told of, so that calls at them count as cut."""
    for pile in piles:
        st.warning(f"Hidden deadline: {pile}.", icon=":material/timer_off:")


_ICONS: Final[dict[Severity, str]] = {
    "error": ":material/error:",
    "warning": ":material/warning:",
    "note": ":material/info:",
}


def tell_findings(findings: Iterable[Finding]) -> None:
    """Each finding with its way out, as loud as it is severe; a good word where there is none."""
    show = {"error": st.error, "warning": st.warning, "note": st.info}
    told = list(findings)
    for finding in told:
        text = f"**{finding.code}** {finding.subject}: {finding.message}.  \nWay out: {finding.remedy}."
        show[finding.severity](text, icon=_ICONS[finding.severity])
    if not told:
        st.success("Nothing to complain of.", icon=":material/check_circle:")


def table(frame: pl.DataFrame, key: str, *, wide: tuple[str, ...] = ()) -> None:
    """A frame over the whole width: whole numbers with their thousands apart, the columns `wide` with room to read."""
    st.dataframe(frame, hide_index=True, width="stretch", key=key, column_config=_columns(frame, wide))


def list_to_pick_from(frame: pl.DataFrame, key: str, *, wide: tuple[str, ...] = ()) -> int | None:
    """A `table` of which the reader can mark a row: its place, None where none is marked."""
    columns = _columns(frame, wide)
    marked = st.dataframe(
        frame, hide_index=True, width="stretch", key=key, column_config=columns, on_select="rerun", selection_mode="single-row"
    )
    rows: list[int] = marked["selection"]["rows"]
    # What is listed may have become less meanwhile.
    return rows[0] if rows and rows[0] < frame.height else None


def _columns(frame: pl.DataFrame, wide: tuple[str, ...]) -> dict[str, Any]:
    whole = {
        name: st.column_config.NumberColumn(format="localized") for name, kind in frame.schema.items() if kind.is_integer()
    }
    return whole | {name: st.column_config.TextColumn(width="large") for name in wide}
