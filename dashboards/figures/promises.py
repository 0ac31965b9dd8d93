"""Promised against observed rates."""

import math

import plotly.graph_objects as go
import polars as pl

from meshslo.dashboards.text import share_text

from .dots import Look, dots
from .theme import COLOURS, GREY, styled

LOWEST = 0.0001
"""Rates below are drawn here: of a logarithmic axis nothing has no place."""


def promises(rows: pl.DataFrame) -> go.Figure:
    """For each target the observed rate with its interval, and a line at the promised one.

    rows: name, promised, observed, low, high (shares of calls), kept.
    """
    figure = go.Figure()
    for is_kept, name, colour in ((True, "kept", COLOURS[2]), (False, "broken", COLOURS[5])):
        some = rows.filter(pl.col("kept") == is_kept)
        text = [
            f"{share_text(row['observed'], 1)} ({share_text(row['low'], 1)} to {share_text(row['high'], 1)})"
            for row in some.iter_rows(named=True)
        ]
        figure.add_trace(dots(some, "observed", (LOWEST, 1.0), text, Look(name, colour, 10)))
    marker = {"color": GREY, "symbol": "line-ns-open", "size": 16, "line": {"width": 2}}
    figure.add_trace(
        go.Scatter(
            x=rows["promised"].to_list(), y=rows["name"].to_list(), name="promised at most", mode="markers", marker=marker
        )
    )
    ticks = [10.0**power for power in range(round(math.log10(LOWEST)), 1)]
    text = [f"<={100 * ticks[0]:g} %", *(f"{100 * tick:g} %" for tick in ticks[1:])]
    span = [math.log10(LOWEST) - 0.1, 0.05]
    figure.update_xaxes(type="log", range=span, tickvals=ticks, ticktext=text, title="share of calls cut falsely")
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=rows["name"].to_list()[::-1])
    return styled(figure, height=130 + 34 * rows.height)
