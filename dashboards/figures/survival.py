"""How long calls last: the share still running after each moment, cut calls counted as longer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import polars as pl

from meshslo.dashboards.text import seconds_text

from .theme import COLOURS, GREY, colours, duration_axis, faded, share_axis, styled

ROOM = 0.12
"""Share of an axis that is left free for the name of the last timeout."""

LOWEST = 0.001
"""The axis ends at one call in a thousand."""


@dataclass(frozen=True)
class Limit:
    """A timeout to draw in: what it is, in seconds, and whether it is only proposed."""

    name: str
    value_s: float
    proposed: bool = False


def still_running(curves: pl.DataFrame, title: str, limits: Sequence[Limit] = ()) -> go.Figure:
    """A curve for each group with its confidence band, and a vertical line for each timeout.

    curves: group, t_s, share, low, high; a curve ends at the longest duration seen.
    """
    figure = go.Figure()
    names = curves["group"].unique(maintain_order=True).to_list()
    for (name, colour), rows in zip(colours(names).items(), curves.partition_by("group", maintain_order=True), strict=True):
        add_curve(figure, rows, name, colour)
    axis = duration_axis([*curves["t_s"], *(limit.value_s for limit in limits)], title)
    add_limits(figure, limits, axis)
    figure.update_yaxes(**share_axis("share of calls still running", LOWEST))
    return styled(figure, height=420)


def add_curve(figure: go.Figure, rows: pl.DataFrame, name: str, colour: str) -> None:
    """Draw one curve (rows as in `still_running`) with its band."""
    held = rows.with_columns(pl.col("share", "low", "high").clip(LOWEST / 10, 1.0))
    figure.add_trace(
        go.Scatter(
            x=[*held["t_s"], *held["t_s"].reverse()],
            y=[*held["high"], *held["low"].reverse()],
            fill="toself",
            fillcolor=faded(colour, 0.18),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            legendgroup=name,
        )
    )
    text = [_reading(row) for row in rows.iter_rows(named=True)]
    figure.add_trace(
        go.Scatter(
            x=held["t_s"].to_list(),
            y=held["share"].to_list(),
            name=name,
            legendgroup=name,
            mode="lines",
            line={"color": colour, "width": 2},
            text=text,
            hovertemplate=name + ": %{text}<extra></extra>",
        )
    )


def _reading(row: dict[str, Any]) -> str:
    share, low, high = (f"{100 * row[name]:.3g}" for name in ("share", "low", "high"))
    return f"{share} % ({low} to {high} %) still running after {seconds_text(row['t_s'])}"


def add_limits(figure: go.Figure, limits: Sequence[Limit], axis: dict[str, Any]) -> None:
    """Draw timeouts over the logarithmic `axis` of durations; their names stand below each other, the last to its right."""
    low, high = axis["range"]
    figure.update_xaxes(**axis | {"range": [low, high + ROOM * (high - low)] if limits else [low, high]})
    longest_s = max((limit.value_s for limit in limits), default=0.0)
    for place, limit in enumerate(limits):
        colour = COLOURS[5] if limit.proposed else GREY
        dash = "solid" if limit.proposed else "dash"
        figure.add_vline(x=limit.value_s, line={"color": colour, "dash": dash, "width": 2})
        # Of a logarithmic axis a shape takes the value, and an annotation its logarithm.
        at = math.log10(limit.value_s)
        is_last = limit.value_s == longest_s
        figure.add_annotation(
            x=at,
            y=1.0,
            yref="paper",
            text=f"{limit.name} {seconds_text(limit.value_s)}",
            font={"color": colour},
            showarrow=False,
            xanchor="left" if is_last else "right",
            xshift=4 if is_last else -4,
            yanchor="top",
            yshift=-17 * (place % 8),
        )
