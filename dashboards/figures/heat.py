"""Where calls fall: time against duration, both from the rollup's own buckets."""

import plotly.graph_objects as go
import polars as pl

from meshslo.dashboards.text import seconds_text

from .theme import TIME_AXIS, duration_axis, styled


def heat_map(cells: pl.DataFrame, title: str) -> go.Figure:
    """A field for each time bucket and duration bucket, the darker the more calls (the colour grows with the root of them).

    cells: start, low_s, high_s (edges of the duration bucket), calls.
    """
    rows = sorted(set(cells.select("low_s", "high_s").iter_rows()))
    starts = cells["start"].unique().sort().to_list()
    at = {(row["start"], row["low_s"]): row["calls"] for row in cells.iter_rows(named=True)}
    calls = [[at.get((start, low)) for start in starts] for low, _ in rows]
    edges = [f"{seconds_text(low)} to {seconds_text(high)}" for low, high in rows]
    most = max((number for line in calls for number in line if number), default=1)
    figure = go.Figure(
        go.Heatmap(
            x=starts,
            y=[(low * high) ** 0.5 for low, high in rows],
            z=[[None if number is None else number**0.5 for number in line] for line in calls],
            customdata=[[[number, edge] for number in line] for line, edge in zip(calls, edges, strict=True)],
            hovertemplate="%{x}<br>%{customdata[1]}: %{customdata[0]} calls<extra></extra>",
            colorscale="Cividis",
            hoverongaps=False,
            colorbar={"title": "calls", "tickvals": _roots(most), "ticktext": [f"{root * root:,.0f}" for root in _roots(most)]},
        )
    )
    figure.update_yaxes(**duration_axis([edge for row in rows for edge in row], title))
    figure.update_xaxes(**TIME_AXIS)
    return styled(figure)


def _roots(most: float) -> list[float]:
    """Four ticks of the colour bar, at roots of whole numbers of calls."""
    return sorted({round(most * part) ** 0.5 for part in (0.05, 0.25, 0.5, 1.0) if round(most * part)})
