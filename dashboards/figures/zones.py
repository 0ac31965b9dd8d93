"""Calls from zone to zone."""

import plotly.graph_objects as go
import polars as pl

from .theme import styled


def calls_between_zones(rows: pl.DataFrame) -> go.Figure:
    """A field for each pair of zones, the darker the more of the zone's calls go there.

    rows: from_zone, to_zone, share (of the zone's calls), text.
    """
    here, there = (rows[name].unique().sort().to_list() for name in ("from_zone", "to_zone"))
    cells = {(row["from_zone"], row["to_zone"]): row for row in rows.iter_rows(named=True)}

    def laid_out(name: str) -> list[list[object]]:
        return [[cells[a, b][name] if (a, b) in cells else None for b in there] for a in here]

    figure = go.Figure(
        go.Heatmap(
            x=there,
            y=here,
            z=laid_out("share"),
            text=laid_out("text"),
            texttemplate="%{text}",
            hovertemplate="%{y} to %{x}<br>%{text}<extra></extra>",
            colorscale="Cividis",
            reversescale=True,
            zmin=0.0,
            zmax=1.0,
            xgap=3,
            ygap=3,
            colorbar={"title": "share of the<br>zone's calls", "tickformat": ".0%"},
        )
    )
    figure.update_xaxes(type="category", title="to")
    figure.update_yaxes(type="category", title="from", autorange="reversed")
    return styled(figure, height=140 + 70 * len(here))
