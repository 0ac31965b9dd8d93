"""The call graph: services from the entry to the right, a line for each hop."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl

from meshslo.dashboards.text import share_text

from .theme import COLOURS, GREY, styled

Place = tuple[float, float]


@dataclass(frozen=True)
class Grading:
    """What colours say: each with its name, and the colour and words of a hop's row."""

    legend: tuple[tuple[str, str], ...]
    of: Callable[[Mapping[str, Any]], tuple[str, str]]


_GRADES: Final = (
    (0.001, "under 0.1 % not ok", COLOURS[0]),
    (0.01, "under 1 %", COLOURS[4]),
    (0.05, "under 5 %", COLOURS[1]),
    (math.inf, "5 % and more", COLOURS[5]),
)


def _not_ok(row: Mapping[str, Any]) -> tuple[str, str]:
    calls, failed = row["calls"], row["calls"] - row["ok"]
    colour = next(colour for limit, _, colour in _GRADES if failed / max(calls, 1) < limit)
    return colour, f"{share_text(failed, calls)} of {calls:,} calls not ok"


NOT_OK: Final = Grading(tuple((name, colour) for _, name, colour in _GRADES), _not_ok)
"""By the share of calls that did not end well; rows with `calls` and `ok`."""


def call_graph(hops: pl.DataFrame, grading: Grading = NOT_OK) -> go.Figure:
    """Services as dots and hops as arrows: the thicker the more calls, coloured as `grading` says.

    hops: hop, caller, callee, calls, label (what to write beside the hop), and what the grading looks at. Each hop's marker
    carries its name as `customdata`, so that a click can tell which it was.
    """
    figure = go.Figure()
    pairs = list(hops.select("caller", "callee").iter_rows())
    at = places(pairs)
    for row, look in _looks(hops, grading):
        _add_hop(figure, row, at, look)
    _add_services(figure, at)
    for name, colour in grading.legend:
        marker = {"color": colour, "symbol": "line-ew", "line": {"color": colour, "width": 4}, "size": 14}
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=name))
    hidden = {"visible": False, "fixedrange": True}
    figure.update_xaxes(**hidden, range=[-0.35, max((x for x, _ in at.values()), default=0.0) + 0.35])
    rows = [y for _, y in at.values()] or [0.0]
    figure.update_yaxes(**hidden, range=[min(rows) - 0.6, max(rows) + 0.6])
    return styled(figure, height=190 + round(110 * (max(rows) - min(rows))), dragmode=False)


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


def _add_hop(figure: go.Figure, row: Mapping[str, object], at: Mapping[str, Place], look: "_Look") -> None:
    start, end = at[str(row["caller"])], at[str(row["callee"])]
    points = list(_curve(start, end))
    line = {"color": look.colour, "width": look.width}
    xs, ys = [x for x, _ in points], [y for _, y in points]
    figure.add_trace(go.Scatter(x=xs, y=ys, mode="lines", line=line, hoverinfo="skip", showlegend=False))
    middle = points[STEPS // 4] if end[0] > start[0] else points[STEPS // 2]
    figure.add_trace(
        go.Scatter(
            x=[middle[0]],
            y=[middle[1]],
            mode="markers",
            marker={"color": look.colour, "size": 15, "symbol": "triangle-right"},
            customdata=[[row["hop"]]],
            hovertemplate=f"<b>{row['hop']}</b><br>{look.words}<extra></extra>",
            showlegend=False,
        )
    )
    at_end, side, above = _label_place(start, end)
    beside = points[at_end]
    away = (0.04 if above else -0.09) + 0.16 * (look.line if above else -look.line)
    text = {"mode": "text", "textposition": f"{'top' if above else 'bottom'} {side}", "hoverinfo": "skip", "showlegend": False}
    figure.add_trace(go.Scatter(x=[beside[0]], y=[beside[1] + away], text=[row["label"]], **text))


def _label_place(start: Place, end: Place) -> tuple[int, str, bool]:
    """At which step of a hop its label ends, on which side, and whether it stands above: where the line never is.

    It is held before the service, which would hide it where the picture is narrow; above, before the service's name.
    """
    if end[0] <= start[0]:
        return STEPS // 2, "center", False
    return (5 * STEPS // 8, "left", True) if end[1] > start[1] else (7 * STEPS // 8, "left", False)


@dataclass(frozen=True)
class _Look:
    """How a hop is drawn: `line` is how many labels stand above its own, of hops to the same service."""

    colour: str
    width: float
    words: str
    line: int


def _looks(hops: pl.DataFrame, grading: Grading) -> Iterator[tuple[dict[str, object], _Look]]:
    """Every hop, those with few calls first, with its look."""
    most = max([2, *hops["calls"]])
    before: dict[str, int] = {}
    for row in hops.sort("calls").iter_rows(named=True):
        colour, words = grading.of(row)
        line = before.get(row["callee"], 0)
        before[row["callee"]] = line + 1
        yield row, _Look(colour, 1.5 + 6.0 * math.log1p(row["calls"]) / math.log1p(most), words, line)


STEPS: Final = 40


def _curve(start: Place, end: Place) -> Iterator[Place]:
    """A line that leaves level, has come to its end's level half-way, and arrives level; one back to the left bows below."""
    forward = end[0] > start[0]
    for step in range(STEPS + 1):
        part = step / STEPS
        way = min(1.0, 2 * part) if forward else part
        bow = 0.0 if forward else -2.4 * part * (1 - part)
        yield start[0] + part * (end[0] - start[0]), start[1] + way * way * (3 - 2 * way) * (end[1] - start[1]) + bow


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
