"""What is left of error budgets."""

import plotly.graph_objects as go
import polars as pl

from .theme import COLOURS, GREY, faded, styled

STATUS_COLOURS = {"met": COLOURS[2], "missed": COLOURS[5], "undecided": COLOURS[1]}
LEAST = -1.0
"""The axis ends at a budget overspent once more: how far beyond is in the text."""


def budgets(standings: pl.DataFrame) -> go.Figure:
    """A dot with its interval for each objective. standings: name, status, estimate, low, high (shares of the budget)."""
    figure = go.Figure()
    for status, colour in STATUS_COLOURS.items():
        rows = standings.filter(pl.col("status") == status)
        shown = rows.with_columns(pl.col("estimate", "low", "high").clip(LEAST, 1.0))
        ends = shown.select(high=pl.col("high") - pl.col("estimate"), low=pl.col("estimate") - pl.col("low"))
        figure.add_trace(
            go.Scatter(
                x=shown["estimate"].to_list(),
                y=shown["name"].to_list(),
                name=status,
                mode="markers",
                marker={"color": colour, "size": 11},
                error_x={
                    "array": ends["high"].to_list(),
                    "arrayminus": ends["low"].to_list(),
                    "color": faded(colour, 0.6),
                    "thickness": 2,
                    "width": 4,
                },
                text=[
                    f"{row['estimate']:.1%} ({row['low']:.1%} to {row['high']:.1%}) left" for row in rows.iter_rows(named=True)
                ],
                hovertemplate="%{y}: %{text}<extra></extra>",
            )
        )
    figure.add_vline(x=0.0, line={"color": GREY, "dash": "dash", "width": 2})
    figure.update_xaxes(tickformat=".0%", range=[LEAST - 0.05, 1.05], title="error budget left")
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=standings["name"].to_list()[::-1])
    return styled(figure, height=130 + 34 * standings.height)
