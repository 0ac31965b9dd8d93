"""By how much one side differs from another, relative to the other."""

from typing import Final

import plotly.graph_objects as go
import polars as pl

from .theme import COLOURS, GREY, faded, styled

VERDICTS: Final = {
    "slower or worse": (("slower", "worse"), COLOURS[5]),
    "faster or better": (("faster", "better"), COLOURS[2]),
    "inside noise": (("inside_noise",), GREY),
}
WIDEST: Final = 3.0
"""The axis ends at four times as much: how far beyond is in the text."""


def differences(rows: pl.DataFrame, side: str) -> go.Figure:
    """A dot with its interval for each difference, coloured by its verdict; `side` names what 0 % is.

    rows: name, estimate, low, high (shares of the other side's value; an end is null where it is open), verdict, text.
    """
    figure = go.Figure()
    for name, (verdicts, colour) in VERDICTS.items():
        some = rows.filter(pl.col("verdict").is_in(verdicts))
        shown = some.with_columns(
            pl.col("estimate").clip(-1.0, WIDEST), pl.col("low").fill_null(-1.0), pl.col("high").fill_null(WIDEST)
        ).with_columns(pl.col("low", "high").clip(-1.0, WIDEST))
        figure.add_trace(
            go.Scatter(
                x=shown["estimate"].to_list(),
                y=shown["name"].to_list(),
                name=name,
                mode="markers",
                marker={"color": colour, "size": 9},
                error_x={
                    "array": (shown["high"] - shown["estimate"]).to_list(),
                    "arrayminus": (shown["estimate"] - shown["low"]).to_list(),
                    "color": faded(colour, 0.6),
                    "thickness": 2,
                    "width": 4,
                },
                text=shown["text"].to_list(),
                hovertemplate="%{y}: %{text}<extra></extra>",
            )
        )
    figure.add_vline(x=0.0, line={"color": GREY, "dash": "dash", "width": 2})
    figure.update_xaxes(tickformat="+.0%", title=f"difference, as a share of {side}")
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=rows["name"].to_list()[::-1])
    return styled(figure, height=130 + 26 * rows.height)
