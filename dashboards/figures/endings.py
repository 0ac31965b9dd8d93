"""How calls end, as shares of each group."""

from typing import Final

import plotly.graph_objects as go
import polars as pl

from meshslo.dashboards.text import share_text
from meshslo.telemetry.vocabulary import OUTCOMES

from .theme import OUTCOME_COLOURS, named, styled

TEXT: Final = {"mode": "hide", "minsize": 9}
"""A share that does not fit into its part of a narrow bar is left to the hover text, not cut."""


def endings(counts: pl.DataFrame, key: str) -> go.Figure:
    """A bar for each group, split by outcome. counts: the `key`, calls, and the number of each outcome."""
    figure = go.Figure()
    groups = named(counts[key].to_list())
    whole = counts["calls"].to_list()
    for outcome in OUTCOMES:
        number = counts[outcome].to_list()
        figure.add_trace(
            go.Bar(
                y=groups,
                x=[part / calls if calls else 0.0 for part, calls in zip(number, whole, strict=True)],
                name=outcome,
                orientation="h",
                marker={"color": OUTCOME_COLOURS[outcome]},
                text=[
                    share_text(part, calls) if part >= 0.04 * calls else "" for part, calls in zip(number, whole, strict=True)
                ],
                customdata=[
                    [f"{part:,} of {calls:,}", share_text(part, calls)] for part, calls in zip(number, whole, strict=True)
                ],
                textposition="inside",
                textangle=0,
                hovertemplate="%{y} " + outcome + ": %{customdata[1]} (%{customdata[0]})<extra></extra>",
            )
        )
    figure.update_xaxes(tickformat=".0%", range=[0, 1.02], tickvals=[0, 0.25, 0.5, 0.75, 1], title="share of calls")
    figure.update_yaxes(type="category", autorange="reversed")
    return styled(figure, height=120 + 34 * len(groups), barmode="stack", legend_traceorder="normal", uniformtext=TEXT)
