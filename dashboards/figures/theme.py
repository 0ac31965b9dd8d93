"""Colours that everybody can tell apart, and axes that read as people speak: 4.3 ms, 0.1 %."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from meshslo.dashboards.text import seconds_text
from meshslo.telemetry.vocabulary import Phase

COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Source: Okabe and Ito 2008, Color Universal Design; without black and yellow, which a dark or a light page swallows."""

GREY: Final = "#8c8c8c"
"""Reads on white and on near-black."""

OUTCOME_COLOURS: Final[Mapping[str, str]] = {
    "ok": "#009E73",
    "error": "#D55E00",
    "timeout": "#E69F00",
    "cancelled": "#56B4E9",
    "rejected": "#CC79A7",
}

TIME_AXIS: Final = {"title": "time (UTC)", "nticks": 4, "tickangle": 0}
"""As few moments as stand side by side where the picture is narrow."""

MOST_TICKS: Final = 6
"""More would stand in each other's way where the picture is narrow."""

FEW_TICKS: Final = 3
"""The same of a picture that shares the width with another."""

DASHES: Final = ("solid", "dash", "dot", "dashdot")

NOT_SET: Final = "(not set)"
"""How a group reads whose calls do not have the key."""


AXES: Final[dict[Phase, str]] = {
    "total": "duration of the whole call",
    "first_byte": "time to the response headers",
    "first_token": "time to the first token",
    "max_gap": "longest gap between chunks",
}
"""What an axis of durations of a phase is called."""


def colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name, by order; past the palette's end they repeat."""
    return {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}


def faded(colour: str, opacity: float) -> str:
    """A hexadecimal colour as rgba.

    >>> faded("#0072B2", 0.2)
    'rgba(0,114,178,0.2)'
    """
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def duration_axis(values_s: Iterable[float | None], title: str, most: int = MOST_TICKS) -> dict[str, Any]:
    """A logarithmic axis of durations around the values, its ticks, `most` at most, in the units that suit them."""
    return log_axis(values_s, title, lambda tick: seconds_text(tick).replace(".0 ", " "), most)


def log_axis(
    values: Iterable[float | None], title: str, text: Callable[[float], str], most: int = MOST_TICKS
) -> dict[str, Any]:
    """A logarithmic axis around the values, with a handful of round ticks that read as `text` has them."""
    known = [value for value in values if value is not None and 0.0 < value < math.inf]
    low, high = (min(known), max(known)) if known else (0.001, 1.0)
    bottom, top = math.log10(low) - 0.08, math.log10(high) + 0.08
    if top - bottom < 0.5:
        bottom, top = bottom - 0.2, top + 0.2
    ticks = _ticks(bottom, top, most)
    return {"type": "log", "range": [bottom, top], "tickvals": ticks, "ticktext": [*map(text, ticks)], "title": title}


def share_axis(title: str, lowest: float) -> dict[str, Any]:
    """A logarithmic axis of shares from 100 % down to about `lowest`."""
    decades = max(1, math.ceil(-math.log10(max(lowest, 1e-6))))
    ticks = [
        part * 10.0**-power for power in range(decades + 1) for part in (1.0, 0.5, 0.2) if part * 10.0**-power >= 10.0**-decades
    ]
    text = [f"{100 * tick:.6g} %" for tick in ticks]
    return {"type": "log", "range": [-decades - 0.02, 0.05], "tickvals": ticks, "ticktext": text, "title": title}


def styled(figure: go.Figure, *, height: int = 380, **layout: Any) -> go.Figure:
    """The figure with the margins, legend and hover that all share."""
    legend = {"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0.0, "title_text": ""}
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 36, "b": 8},
        hovermode="closest",
        colorway=list(COLOURS),
        **layout,
    )
    figure.update_layout(legend=legend)
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)
    return figure


def named(values: Sequence[object]) -> list[str]:
    """Values of a key as they are shown."""
    return [NOT_SET if value is None else str(value) for value in values]


def _ticks(bottom: float, top: float, most: int) -> list[float]:
    """Round numbers in the range of exponents, a handful."""
    powers = range(math.floor(bottom), math.ceil(top) + 1)
    choices = [
        [tick for power in powers for part in parts if bottom <= math.log10(tick := part * 10.0**power) <= top]
        for parts in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))
    ]
    few = [ticks for ticks in choices if len(ticks) <= most]
    return max(few, key=len) if few else choices[0]
