"""Timeouts now and proposed, beside what was observed."""

from typing import Any, Final

import plotly.graph_objects as go
import polars as pl

from meshslo.dashboards.text import quantile_text, seconds_text

from .theme import COLOURS, GREY, duration_axis, faded, styled

_COLUMNS: Final = ("current", "proposed", "estimate", "low", "high")
_AS_QUANTILE: Final = {"estimate": "value_s", "low": "low_s", "high": "high_s"}


def timeouts(rows: pl.DataFrame) -> go.Figure:
    """For each timeout a diamond where it is deployed now, a dot where it is proposed, and the observed quantile's interval.

    rows: name, current, proposed, estimate, low, high (seconds; null where not known).
    """
    figure = go.Figure()
    names = rows["name"].to_list()
    _add_observed(figure, rows)
    _add_points(figure, rows, "current", "now", {"color": GREY, "symbol": "diamond-open", "size": 11})
    _add_points(figure, rows, "proposed", "proposed", {"color": COLOURS[5], "symbol": "circle", "size": 11})
    figure.update_xaxes(**duration_axis([value for name in _COLUMNS for value in rows[name]], "timeout"))
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names[::-1])
    return styled(figure, height=130 + 34 * len(names))


def _add_observed(figure: go.Figure, rows: pl.DataFrame) -> None:
    """The estimates, with an interval as far as its ends are known."""
    seen = rows.filter(pl.col("estimate").is_not_null())
    beyond, before = pl.col("high") - pl.col("estimate"), pl.col("estimate") - pl.col("low")
    ends = seen.select(beyond.fill_null(0.0).clip(0.0).alias("beyond"), before.fill_null(0.0).clip(0.0).alias("before"))
    status = pl.lit("ok").alias("status")
    text = [quantile_text(row) for row in seen.rename(_AS_QUANTILE).with_columns(status).iter_rows(named=True)]
    figure.add_trace(
        go.Scatter(
            x=seen["estimate"].to_list(),
            y=seen["name"].to_list(),
            name="observed quantile, with interval",
            mode="markers",
            marker={"color": COLOURS[0], "symbol": "line-ns-open", "size": 11},
            error_x={
                "array": ends["beyond"].to_list(),
                "arrayminus": ends["before"].to_list(),
                "color": faded(COLOURS[0], 0.6),
                "thickness": 2,
                "width": 4,
            },
            text=text,
            hovertemplate="%{y} observed: %{text}<extra></extra>",
        )
    )


def _add_points(figure: go.Figure, rows: pl.DataFrame, column: str, name: str, marker: dict[str, Any]) -> None:
    known = rows.filter(pl.col(column).is_not_null())
    figure.add_trace(
        go.Scatter(
            x=known[column].to_list(),
            y=known["name"].to_list(),
            name=name,
            mode="markers",
            marker=marker,
            text=[seconds_text(value) for value in known[column]],
            hovertemplate="%{y} " + name + ": %{text}<extra></extra>",
        )
    )
