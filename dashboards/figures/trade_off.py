"""The price of a timeout: the shorter it is, the more calls it cuts that would have ended well."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go
import polars as pl

from .survival import LOWEST, Limit, add_curve, add_limits
from .theme import COLOURS, GREY, duration_axis, share_axis, styled


def trade_off(curve: pl.DataFrame, budget: float, limits: Sequence[Limit] = ()) -> go.Figure:
    """The share of calls that a timeout of each length cuts, with its band; the budget as a horizontal line.

    curve: group, t_s, share, low, high, as in `still_running`: a call is cut where it is still running.
    """
    figure = go.Figure()
    for rows in curve.partition_by("group", maintain_order=True):
        add_curve(figure, rows, str(rows["group"][0]), COLOURS[0])
    figure.add_hline(y=budget, line={"color": GREY, "dash": "dot", "width": 2})
    # Of a logarithmic axis a shape takes the value, and an annotation its logarithm.
    beside = {"x": 0.0, "xref": "paper", "xanchor": "left", "yanchor": "bottom", "showarrow": False, "font": {"color": GREY}}
    figure.add_annotation(y=math.log10(budget), text=f"budget {100 * budget:.3g} %", **beside)
    axis = duration_axis([*curve["t_s"], *(limit.value_s for limit in limits)], "timeout")
    add_limits(figure, limits, axis)
    figure.update_yaxes(**share_axis("share of calls it cuts falsely", min(LOWEST, budget / 2)))
    return styled(figure, height=420)
