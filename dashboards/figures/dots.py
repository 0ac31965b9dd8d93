"""Dots with their intervals, a name a line: what the pictures of rates and of budgets have in common."""

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go
import polars as pl

from .theme import faded


class Look(NamedTuple):
    """How a trace of dots is called in the legend and drawn."""

    name: str
    colour: str
    size: int


def dots(rows: pl.DataFrame, value: str, within: tuple[float, float], text: Sequence[str], look: Look) -> go.Scatter:
    """The column `value` with its ends `low` and `high`, held `within` what the axis shows; `text` on hover."""
    shown = rows.with_columns(pl.col(value, "low", "high").clip(*within))
    ends = shown.select(high=pl.col("high") - pl.col(value), low=pl.col(value) - pl.col("low"))
    return go.Scatter(
        x=shown[value].to_list(),
        y=shown["name"].to_list(),
        name=look.name,
        mode="markers",
        marker={"color": look.colour, "size": look.size},
        error_x={
            "array": ends["high"].to_list(),
            "arrayminus": ends["low"].to_list(),
            "color": faded(look.colour, 0.6),
            "thickness": 2,
            "width": 4,
        },
        text=list(text),
        hovertemplate="%{y}: %{text}<extra></extra>",
    )
