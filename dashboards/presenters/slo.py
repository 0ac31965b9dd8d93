"""Objectives: what is left of their error budgets."""

from typing import TYPE_CHECKING

from meshslo.analysis.slo.status import SloReport
from meshslo.dashboards.commands.slo import show

from . import Presenter

if TYPE_CHECKING:
    import plotly.graph_objects as go


def figure(answer: SloReport) -> "go.Figure":
    """A dot with its interval for each objective that has calls."""
    import polars as pl

    from meshslo.dashboards.figures import budgets

    known = answer.frame.filter(pl.col("budget_left").is_not_null())
    parts = [pl.col(f"budget_left{end}").alias(name) for end, name in (("", "estimate"), ("_low", "low"), ("_high", "high"))]
    names = pl.concat_str("name", "route", "model", "tenant", separator=" ", ignore_nulls=True)
    return budgets(known.select(names.alias("name"), "status", *parts))


PRESENTER = Presenter(SloReport, show, figure)
