"""A backtest: promised against observed rates."""

from typing import TYPE_CHECKING

from meshslo.analysis.backtest import Backtest, Judged, Row
from meshslo.dashboards.commands.backtest import show

from . import Presenter

if TYPE_CHECKING:
    import plotly.graph_objects as go


def figure(answer: Backtest) -> "go.Figure":
    """The observed rate of each judged target, and what was promised."""
    import polars as pl

    from meshslo.dashboards.figures import promises

    dated = len({row.judged_from for row in answer.rows}) > 1
    rows = [_row(row, row.own, dated=dated) for row in answer.rows if row.own is not None]
    numbers = dict.fromkeys(("promised", "observed", "low", "high"), pl.Float64())
    return promises(pl.DataFrame(rows, schema={"name": pl.String(), **numbers, "kept": pl.Boolean()}))


def _row(row: Row, own: Judged, *, dated: bool) -> dict[str, object]:
    words = [*row.target.values(), row.setting.replace("_", " "), row.judged_from[:16] if dated else None]
    return {
        "name": " ".join(word for word in words if word),
        "promised": row.promised_rate,
        "observed": own.observed_rate,
        "low": own.observed_low,
        "high": own.observed_high,
        "kept": own.kept_promise,
    }


PRESENTER = Presenter(Backtest, show, figure)
