"""Shares of calls now and under a proposal, with what is known of each."""

import plotly.graph_objects as go
import polars as pl

from meshslo.dashboards.text import share_text

from .theme import COLOURS, GREY, faded, styled


def what_if(rows: pl.DataFrame, sides: tuple[str, str]) -> go.Figure:
    """For each name its share on both sides, with the interval; bounds alone where no value is known.

    rows: name, side (one of `sides`), value (null: bounds only), low, high.
    """
    figure = go.Figure()
    for side, colour in zip(sides, (GREY, COLOURS[0]), strict=True):
        some = rows.filter(pl.col("side") == side)
        middle = pl.coalesce("value", (pl.col("low") + pl.col("high")) / 2).alias("middle")
        shown = some.with_columns(middle).with_columns(up=pl.col("high") - middle, down=middle - pl.col("low"))
        # No mark in the middle of bounds: nothing says that it is likelier there.
        sizes = [9 if known else 0 for known in some["value"].is_not_null()]
        figure.add_trace(
            go.Scatter(
                x=shown["middle"].to_list(),
                y=shown["name"].to_list(),
                name=side,
                mode="markers",
                orientation="h",
                marker={"color": colour, "size": sizes},
                error_x={
                    "array": shown["up"].to_list(),
                    "arrayminus": shown["down"].to_list(),
                    "color": faded(colour, 0.6),
                    "thickness": 2,
                    "width": 4,
                },
                text=[_said(row) for row in some.iter_rows(named=True)],
                hovertemplate="%{y}: %{text}<extra></extra>",
            )
        )
    names = rows["name"].unique(maintain_order=True).to_list()
    figure.update_xaxes(tickformat=".0%", rangemode="tozero", title="share of requests")
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=names[::-1])
    figure.update_layout(scattermode="group", scattergap=0.5, legend_itemsizing="constant")
    return styled(figure, height=130 + 40 * len(names))


def _said(row: dict[str, float | None]) -> str:
    low, high = (share_text(row[end] or 0.0, 1) for end in ("low", "high"))
    return f"{low} to {high}" if row["value"] is None else f"{share_text(row['value'], 1)} ({low} to {high})"
