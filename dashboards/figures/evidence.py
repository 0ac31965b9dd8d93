"""How the evidence of a rollout grew."""

from typing import Final

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from .theme import COLOURS, FEW_TICKS, GREY, TIME_AXIS, colours, styled

SIDES: Final = {"worse": "that it is worse", "within": "that it is within its margin"}


def evidence(rows: pl.DataFrame) -> go.Figure:
    """Evidence over time for both verdicts, a line a measure; at 100 % it is sure. rows: name, at, pairs, worse, within."""
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, subplot_titles=list(SIDES.values()), horizontal_spacing=0.04)
    names = rows["name"].unique(maintain_order=True).to_list()
    for place, side in enumerate(SIDES, start=1):
        for name, colour in colours(names).items():
            mine = rows.filter(pl.col("name") == name)
            figure.add_trace(
                go.Scatter(
                    x=mine["at"].to_list(),
                    y=mine[side].to_list(),
                    name=name,
                    legendgroup=name,
                    showlegend=place == 1,
                    mode="lines",
                    line={"color": colour, "width": 2},
                    customdata=mine["pairs"].to_list(),
                    hovertemplate="%{x}<br>%{y:.0%} of what decides, %{customdata:,} pairs<extra>" + name + "</extra>",
                ),
                row=1,
                col=place,
            )
    figure.add_hline(y=1.0, line={"color": COLOURS[5], "dash": "dash", "width": 2})
    top = max(1.2, min(2.0, float(rows.select(pl.max_horizontal("worse", "within").max()).item() or 0.0) * 1.05))
    figure.update_yaxes(range=[0.0, top], tickformat=".0%", gridcolor=GREY, griddash="dot")
    figure.update_yaxes(title="evidence, of what decides", row=1, col=1)
    figure.update_xaxes(**{**TIME_AXIS, "nticks": FEW_TICKS}, title_standoff=4)
    styled(figure, height=430)
    figure.update_layout(legend={"y": -0.24, "yanchor": "top"}, margin={"b": 90})
    return figure


def shares_over_time(rows: pl.DataFrame, key: str) -> go.Figure:
    """Which share of the calls of each bucket of time went to each version, stacked. rows: start, the `key`, share, calls."""
    figure = go.Figure()
    names = rows.group_by(key).agg(pl.col("calls").sum()).sort("calls", key, descending=[True, False])[key].to_list()
    for name, colour in colours(names).items():
        mine = rows.filter(pl.col(key) == name).sort("start")
        figure.add_trace(
            go.Scatter(
                x=mine["start"].to_list(),
                y=mine["share"].to_list(),
                name=name,
                mode="lines",
                stackgroup="all",
                line={"color": colour, "width": 1},
                customdata=mine["calls"].to_list(),
                hovertemplate="%{x}<br>%{y:.1%}, %{customdata:,} calls<extra>" + name + "</extra>",
            )
        )
    figure.update_yaxes(title="share of calls", tickformat=".0%", range=[0.0, 1.0])
    figure.update_xaxes(**TIME_AXIS)
    return styled(figure, height=300, showlegend=True)
