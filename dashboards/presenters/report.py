"""A report: its quantiles with their intervals, the largest groups first."""

from typing import TYPE_CHECKING, Final

from meshslo.analysis.report import Report
from meshslo.dashboards.commands.report import show

from . import Presenter

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_GROUPS: Final = 30
"""Rows that one picture holds; `.frame` has them all."""


def figure(answer: Report) -> "go.Figure":
    """A dot for each group and quantile, with its interval; groups that were not timed are left out."""
    import polars as pl

    from meshslo.dashboards.figures import AXES, quantile_dots
    from meshslo.dashboards.frames import GROUP, labelled, largest

    timed = answer.frame.filter(pl.col("timed") > 0)
    return quantile_dots(largest(labelled(timed, answer.by), MOST_GROUPS), GROUP, AXES[answer.phase])


PRESENTER = Presenter(Report, show, figure)
