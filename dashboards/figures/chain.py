"""The call graph: services from the entry to the right, a line for each hop."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import plotly.graph_objects as go
import polars as pl

from meshslo.dashboards.text import share_text

from .theme import COLOURS, GREY, styled

GRADES: Final = (
    (0.001, "under 0.1 % not ok", COLOURS[0]),
    (0.01, "under 1 %", COLOURS[4]),
    (0.05, "under 5 %", COLOURS[1]),
    (math.inf, "5 % and more", COLOURS[5]),
)
"""Colour of a hop by the share of its calls that did not end well."""

Place = tuple[float, float]


def call_graph(hops: pl.DataFrame) -> go.Figure:
    """Services as dots and hops as arrows: the thicker the more calls, coloured by the share that did not end well.

    hops: hop, caller, callee, calls, ok, label (what to write beside the hop). Each hop's marker carries its name as
    `customdata`, so that a click can tell which it was.
    """
    figure = go.Figure()
    pairs = list(hops.select("caller", "callee").iter_rows())
    at = places(pairs)
    most = max(int(hops["calls"].max() or 1), 2)  # type: ignore[arg-type]  # polars types max() as any value
    for row in hops.sort("calls").iter_rows(named=True):
        width = 1.5 + 6.0 * math.log1p(row["calls"]) / math.log1p(most)
        _add_hop(figure, row, at, width)
    _add_services(figure, at)
    for _, name, colour in GRADES:
        marker = {"color": colour, "symbol": "line-ew", "line": {"color": colour, "width": 4}, "size": 14}
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=name))
    hidden = {"visible": False, "fixedrange": True}
    figure.update_xaxes(**hidden, range=[-0.35, max((x for x, _ in at.values()), default=0.0) + 0.35])
    rows = [y for _, y in at.values()] or [0.0]
    figure.update_yaxes(**hidden, range=[min(rows) - 0.6, max(rows) + 0.6])
    return styled(figure, height=180 + round(120 * (max(rows) - min(rows))), dragmode=False)


def places(pairs: Sequence[tuple[str, str]]) -> dict[str, Place]:
    """Where each service stands: a column further right than whoever calls it, spread evenly from top to bottom.

    >>> places([("ingress", "gateway"), ("gateway", "generator"), ("gateway", "retriever")])
    {'ingress': (0.0, 0.0), 'gateway': (1.0, 0.0), 'generator': (2.0, 0.5), 'retriever': (2.0, -0.5)}
    """
    columns: dict[int, list[str]] = {}
    for service, depth in _depths(pairs).items():
        columns.setdefault(depth, []).append(service)
    return {
        service: (float(depth), (len(column) - 1) / 2 - row)
        for depth, column in sorted(columns.items())
        for row, service in enumerate(sorted(column))
    }


def _depths(pairs: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The longest way to each service from one that nobody calls; a service that calls itself back stays where it was."""
    calls: dict[str, list[str]] = {}
    for caller, callee in sorted(pairs):
        calls.setdefault(caller, []).append(callee)
        calls.setdefault(callee, [])
    called = {callee for caller, callee in pairs if caller != callee}
    depth: dict[str, int] = {}
    roots = [service for service in calls if service not in called]
    for service in [*roots, *calls]:
        if service in roots or service not in depth:
            _walk(service, 0, calls, depth, ())
    return depth


def _walk(service: str, at: int, calls: Mapping[str, Sequence[str]], depth: dict[str, int], way: tuple[str, ...]) -> None:
    if service in way or depth.get(service, -1) >= at:
        return
    depth[service] = at
    for callee in calls[service]:
        _walk(callee, at + 1, calls, depth, (*way, service))


def _add_hop(figure: go.Figure, row: Mapping[str, object], at: Mapping[str, Place], width: float) -> None:
    caller, callee = at[str(row["caller"])], at[str(row["callee"])]
    calls, ok = int(str(row["calls"])), int(str(row["ok"]))
    colour = next(colour for limit, _, colour in GRADES if (calls - ok) / max(calls, 1) < limit)
    xs, ys = zip(*_curve(caller, callee), strict=True)
    figure.add_trace(
        go.Scatter(x=xs, y=ys, mode="lines", line={"color": colour, "width": width}, hoverinfo="skip", showlegend=False)
    )
    middle = (xs[len(xs) // 2], ys[len(ys) // 2])
    figure.add_trace(
        go.Scatter(
            x=[middle[0]],
            y=[middle[1]],
            mode="markers",
            marker={"color": colour, "size": 15, "symbol": "triangle-right"},
            customdata=[[row["hop"]]],
            hovertemplate=f"<b>{row['hop']}</b><br>{share_text(calls - ok, calls)} of {calls:,} calls not ok<extra></extra>",
            showlegend=False,
        )
    )
    below = {"mode": "text", "textposition": "bottom center", "hoverinfo": "skip", "showlegend": False}
    figure.add_trace(go.Scatter(x=[middle[0]], y=[middle[1] - 0.1], text=[row["label"]], **below))


def _curve(start: Place, end: Place) -> Iterator[Place]:
    """A line that leaves and arrives level; one back to the left, or to itself, bows below."""
    bow = 0.0 if end[0] > start[0] else -0.6
    for step in range(21):
        part = step / 20
        bend = part * part * (3 - 2 * part)
        yield start[0] + part * (end[0] - start[0]), start[1] + bend * (end[1] - start[1]) + bow * 4 * part * (1 - part)


def _add_services(figure: go.Figure, at: Mapping[str, Place]) -> None:
    names = list(at)
    figure.add_trace(
        go.Scatter(
            x=[at[name][0] for name in names],
            y=[at[name][1] for name in names],
            mode="markers+text",
            marker={"size": 26, "color": GREY, "line": {"width": 2, "color": "white"}},
            text=[f"<b>{name}</b>" for name in names],
            textposition="top center",
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
        )
    )
