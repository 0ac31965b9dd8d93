"""Calls in progress over time, and what load does to waits."""

from typing import Any

import plotly.graph_objects as go
import polars as pl

from meshslo.analysis.recommend.limits import Bearing

from .theme import COLOURS, GREY, TIME_AXIS, colours, faded, styled


def in_progress(rows: pl.DataFrame) -> go.Figure:
    """A line for each hop: calls in progress, averaged over each bucket of time, none where none began.

    rows: start, hop, in_progress.
    """
    figure = go.Figure()
    names = rows["hop"].unique().sort().to_list()
    step = rows["start"].unique().sort().diff().min()
    for name, colour in colours(names).items():
        mine = _with_idle(rows.filter(pl.col("hop") == name).sort("start"), step)
        figure.add_trace(
            go.Scatter(
                x=mine["start"].to_list(),
                y=mine["in_progress"].to_list(),
                name=name,
                mode="lines" if mine.height > 1 else "markers",
                line={"color": colour, "width": 2},
                hovertemplate="%{x}<br>%{y:.3g} calls<extra>" + name + "</extra>",
            )
        )
    figure.update_yaxes(title="calls in progress", rangemode="tozero")
    figure.update_xaxes(**TIME_AXIS)
    return styled(figure, showlegend=True)


def _with_idle(rows: pl.DataFrame, step: Any) -> pl.DataFrame:
    """One hop's rows with a row of 0 beside each end of a pause: what lies between is no slope."""
    if step is None:
        return rows
    begins = rows.filter(pl.col("start").shift(-1) - pl.col("start") > step).select(pl.col("start") + step)
    ends = rows.filter(pl.col("start").diff() > step).select(pl.col("start") - step)
    idle = pl.concat([begins, ends]).unique().with_columns(pl.col("start").cast(rows["start"].dtype), in_progress=pl.lit(0.0))
    return pl.concat([rows, idle], how="diagonal").sort("start")


def load_curve(levels: pl.DataFrame, bears: Bearing | None, waits: str) -> go.Figure:
    """Waits over those at low load against calls in progress: a dot a level, the larger the more calls.

    levels: load, slowness, calls. bears: what the callee bears, a dashed line in the band of its interval; None draws nothing.
    """
    most = float(levels["calls"].max() or 1)  # type: ignore[arg-type]  # polars types max() as any value
    figure = go.Figure(
        go.Scatter(
            x=levels["load"].to_list(),
            y=levels["slowness"].to_list(),
            mode="markers",
            name=waits,
            marker={"color": COLOURS[0], "size": [6.0 + 12.0 * (calls / most) ** 0.5 for calls in levels["calls"]]},
            customdata=levels["calls"].to_list(),
            hovertemplate="%{x:.3g} in progress: %{y:.2f} times as long<br>%{customdata:,} calls<extra></extra>",
        )
    )
    if bears is not None:
        figure.add_vrect(x0=bears.low, x1=bears.high, fillcolor=faded(COLOURS[5], 0.2), line_width=0)
        line = {"color": COLOURS[5], "dash": "dash", "width": 2}
        figure.add_vline(x=bears.at, line=line, annotation_text=f"bears {bears.at:.3g}")
    figure.add_hline(y=1.0, line={"color": GREY, "dash": "dot", "width": 1})
    figure.update_xaxes(title="calls in progress", rangemode="tozero")
    figure.update_yaxes(title=f"{waits}, times as long as at low load", rangemode="tozero")
    return styled(figure, showlegend=False)
