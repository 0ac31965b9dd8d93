"""Which hops the slow traces of a chain spend their time on."""

import plotly.graph_objects as go
import polars as pl

from .theme import COLOURS, faded, styled


def path_shares(hops: pl.DataFrame) -> go.Figure:
    """A bar for each hop with its interval: its own part of the time of slow traces. hops: hop, estimate, low, high, traces."""
    ends = hops.select(high=pl.col("high") - pl.col("estimate"), low=pl.col("estimate") - pl.col("low"))
    figure = go.Figure(
        go.Bar(
            x=hops["estimate"].to_list(),
            y=hops["hop"].to_list(),
            orientation="h",
            marker={"color": COLOURS[0]},
            error_x={
                "array": ends["high"].to_list(),
                "arrayminus": ends["low"].to_list(),
                "color": faded(COLOURS[5], 0.9),
                "thickness": 2,
                "width": 4,
            },
            text=[f"{row['estimate']:.0%} ({row['low']:.0%} to {row['high']:.0%})" for row in hops.iter_rows(named=True)],
            textposition="none",
            hovertemplate="%{y}: %{text} of the time of slow traces<extra></extra>",
        )
    )
    figure.update_xaxes(tickformat=".0%", range=[0, 1.02], title="share of the time of slow traces, own time of each hop")
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=hops["hop"].to_list()[::-1])
    return styled(figure, height=110 + 34 * hops.height)
