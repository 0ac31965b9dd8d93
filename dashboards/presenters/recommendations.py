"""Recommendations: the timeouts among them, now and proposed."""

from typing import TYPE_CHECKING

from meshslo.analysis.recommend import Recommendation, Recommendations
from meshslo.dashboards.commands.recommend import show

from . import Presenter

if TYPE_CHECKING:
    import plotly.graph_objects as go


def figure(answer: Recommendations) -> "go.Figure | None":
    """Where each timeout is now, where it is proposed, and what was observed; None where there is no timeout with a value."""
    import polars as pl

    from meshslo.dashboards.figures import timeouts

    rows = [_row(number, item) for number, item in enumerate(answer.items, 1) if _is_known(item)]
    if not rows:
        return None
    return timeouts(
        pl.DataFrame(rows, schema_overrides=dict.fromkeys(("current", "proposed", "estimate", "low", "high"), pl.Float64))
    )


def _is_known(item: Recommendation) -> bool:
    return item.setting.endswith("_timeout") and (item.current is not None or item.proposed is not None)


def _row(number: int, item: Recommendation) -> dict[str, object]:
    values = {name: None if (known := getattr(item, name)) is None else known.value for name in ("current", "proposed")}
    seen = {name: getattr(item.evidence, name) for name in ("estimate", "low", "high")}
    return {"name": f"{item.target} {item.setting.replace('_', ' ')} ({number})"} | values | seen


PRESENTER = Presenter(Recommendations, show, figure)
