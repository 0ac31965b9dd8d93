"""What is left of error budgets."""

from collections.abc import Mapping
from typing import Final

import plotly.graph_objects as go
import polars as pl

from .dots import Look, dots
from .theme import COLOURS, GREY, styled

STATUS_COLOURS: Final[Mapping[str, str]] = {"met": COLOURS[2], "missed": COLOURS[5], "undecided": COLOURS[1]}
LEAST = -10.0
"""The axis goes down to the worst budget, or to one overspent ten times more: how far beyond is in the text."""


def budgets(standings: pl.DataFrame) -> go.Figure:
    """A dot with its interval for each objective. standings: name, status, estimate, low, high (shares of the budget)."""
    figure = go.Figure()
    for status, colour in STATUS_COLOURS.items():
        rows = standings.filter(pl.col("status") == status)
        text = [f"{row['estimate']:.1%} ({row['low']:.1%} to {row['high']:.1%}) left" for row in rows.iter_rows(named=True)]
        figure.add_trace(dots(rows, "estimate", (LEAST, 1.0), text, Look(status, colour, 11)))
    figure.add_vline(x=0.0, line={"color": GREY, "dash": "dash", "width": 2})
    lowest = min([-1.0, *standings["low"]])
    figure.update_xaxes(tickformat=".0%", range=[max(lowest, LEAST) * 1.05, 1.05], title="error budget left")
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=standings["name"].to_list()[::-1])
    return styled(figure, height=130 + 34 * standings.height)
