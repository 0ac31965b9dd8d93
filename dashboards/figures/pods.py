"""Pods that would have been out, and when."""

import plotly.graph_objects as go
import polars as pl

from .theme import COLOURS, TIME_AXIS, styled

RULES = {
    "consecutive_5xx": ("failures in a row", COLOURS[5]),
    "consecutive_gateway_failures": ("gateway failures in a row", COLOURS[1]),
    "failure_percentage": ("share of failures", COLOURS[0]),
    "success_rate": ("success rate", COLOURS[3]),
}


def ejections(rows: pl.DataFrame) -> go.Figure:
    """A bar for each time a pod is out, coloured by the rule that caught it. rows: name, start, end, rule, text."""
    figure = go.Figure()
    for rule, (words, colour) in RULES.items():
        mine = rows.filter(pl.col("rule") == rule)
        if mine.is_empty():
            continue
        x: list[object] = []
        y: list[object] = []
        text: list[object] = []
        for row in mine.iter_rows(named=True):
            # A gap ends each bar.
            x += [row["start"], row["end"], None]
            y += [row["name"], row["name"], None]
            text += [row["text"], row["text"], None]
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                name=words,
                mode="lines+markers",
                line={"color": colour, "width": 12},
                marker={"size": 6, "color": colour},
                text=text,
                hovertemplate="%{y}: %{text}<extra>" + words + "</extra>",
            )
        )
    names = rows["name"].unique().sort(descending=True).to_list()
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names)
    figure.update_xaxes(**TIME_AXIS)
    return styled(figure, height=150 + 34 * len(names), showlegend=True)
