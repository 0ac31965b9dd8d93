"""Quantiles with what is known of them: a value with its interval, a lower bound, or nothing."""

from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl

from meshslo.dashboards.text import quantile_text

from .theme import DASHES, MOST_TICKS, NOT_SET, TIME_AXIS, colours, duration_axis, faded, named, styled

SYMBOLS = {"ok": "circle", "at_least": "triangle-right-open"}


def over_time(report: pl.DataFrame, key: str, title: str) -> go.Figure:
    """A line for each group and quantile over time, the highest solid; bands are intervals, triangles lower bounds.

    report: start, the `key`, q, value_s, low_s, high_s, status, needs_calls, calls; rows that are not identifiable leave a gap.
    """
    figure = go.Figure()
    shares = report["q"].unique().sort(descending=True).to_list()
    by_name = colours(_groups(report, key))
    step = report["start"].unique().sort().diff().min()
    for name, group in _parts(report, key):
        for share, dash in zip(shares, DASHES, strict=False):
            rows = _with_gaps(group.filter(pl.col("q") == share).sort("start"), step)
            figure.add_traces([*_bands(rows, by_name[name]), _line(rows, name, share, {"color": by_name[name], "dash": dash})])
            figure.data[-1].showlegend = share == shares[0]
    known = report.filter(pl.col("value_s").is_not_null())
    figure.update_yaxes(**duration_axis([*known["value_s"], *known["high_s"]], title))
    figure.update_xaxes(**TIME_AXIS)
    return styled(figure)


def quantile_dots(report: pl.DataFrame, key: str, title: str, *, most_ticks: int = MOST_TICKS) -> go.Figure:
    """For each group a dot at each quantile, with its interval; a triangle points to where a lower bound leaves it open.

    report: the `key`, q, value_s, low_s, high_s, status, needs_calls.
    """
    figure = go.Figure()
    shares = report["q"].unique().sort().to_list()
    by_share = colours(f"p{100 * share:g}" for share in shares)
    for share in shares:
        rows = report.filter((pl.col("q") == share) & pl.col("value_s").is_not_null())
        # The legend takes the symbol of the first: a dot, where there is one.
        rows = rows.sort(pl.col("status") != "ok", maintain_order=True)
        name = f"p{100 * share:g}"
        figure.add_trace(_dots(rows, key, name, by_share[name]))
    known = report.filter(pl.col("value_s").is_not_null())
    names = list(_groups(report, key))
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], type="category", title=None)
    figure.update_xaxes(**duration_axis([*known["low_s"], *known["value_s"], *known["high_s"]], title, most_ticks))
    return styled(figure, height=130 + 34 * len(names))


def _dots(rows: pl.DataFrame, key: str, name: str, colour: str) -> go.Scatter:
    beyond, before = pl.col("high_s") - pl.col("value_s"), pl.col("value_s") - pl.col("low_s")
    ends = rows.select(beyond.fill_null(0.0).clip(0.0).alias("beyond"), before.fill_null(0.0).clip(0.0).alias("before"))
    return go.Scatter(
        x=rows["value_s"].to_list(),
        y=named(rows[key].to_list()),
        name=name,
        mode="markers",
        marker={"color": colour, "size": 10, "symbol": [SYMBOLS[status] for status in rows["status"]]},
        error_x={
            "array": ends["beyond"].to_list(),
            "arrayminus": ends["before"].to_list(),
            "color": faded(colour, 0.6),
            "thickness": 2,
            "width": 4,
        },
        text=[quantile_text(row) for row in rows.iter_rows(named=True)],
        hovertemplate="%{y} " + name + ": %{text}<extra></extra>",
    )


def _with_gaps(rows: pl.DataFrame, step: Any) -> pl.DataFrame:
    """`rows` with an empty one wherever time buckets without calls lie between two: nothing is drawn across."""
    if rows.height < 2 or step is None:
        return rows
    last = rows.filter(pl.col("start").shift(-1) - pl.col("start") > step)
    empty = last.select((pl.col("start") + step).cast(rows["start"].dtype))
    return pl.concat([rows, empty], how="diagonal").sort("start")


def _bands(rows: pl.DataFrame, colour: str) -> Iterator[go.Scatter]:
    """The intervals of each run of points that have one: across a gap nothing is drawn."""
    has_both = (pl.col("status") == "ok") & pl.col("low_s").is_not_null() & pl.col("high_s").is_not_null()
    runs = rows.with_columns(has_both.alias("known")).with_columns(pl.col("known").rle_id().alias("run")).filter("known")
    for run in runs.partition_by("run", maintain_order=True):
        yield go.Scatter(
            x=[*run["start"], *run["start"].reverse()],
            y=[*run["high_s"], *run["low_s"].reverse()],
            fill="toself",
            fillcolor=faded(colour, 0.15),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
        )


def _line(rows: pl.DataFrame, name: str, share: float, line: dict[str, Any]) -> go.Scatter:
    return go.Scatter(
        x=rows["start"].to_list(),
        y=rows["value_s"].to_list(),
        name=name,
        legendgroup=name,
        mode="lines+markers",
        connectgaps=False,
        line=line | {"width": 2},
        marker={"size": 6, "symbol": [SYMBOLS.get(status, "circle") for status in rows["status"]]},
        text=[f"{quantile_text(row)}, {row['calls']:,} calls" if row["status"] else "" for row in rows.iter_rows(named=True)],
        hovertemplate=f"{name} p{100 * share:g}: %{{text}}<br>%{{x}}<extra></extra>",
    )


def _groups(report: pl.DataFrame, key: str) -> Sequence[str]:
    return named(report[key].unique(maintain_order=True).to_list())


def _parts(report: pl.DataFrame, key: str) -> Iterator[tuple[str, pl.DataFrame]]:
    for (value,), rows in report.group_by([key], maintain_order=True):
        group: Any = value
        yield (NOT_SET if group is None else str(group)), rows
