"""Loads, pods and zones: what load does to the callee that bears least of what it is asked."""

from typing import TYPE_CHECKING

from meshslo.analysis.resilience import Resilience
from meshslo.dashboards.commands.resilience import show

from . import Presenter

if TYPE_CHECKING:
    import plotly.graph_objects as go


def figure(answer: Resilience) -> "go.Figure | None":
    """The load curve of the callee with the highest load for what it bears, else of the one with most calls in progress."""
    from meshslo.dashboards.figures import load_curve
    from meshslo.dashboards.resilience import level_rows

    shown = [load for load in answer.loads if load.levels]
    if not shown:
        return None
    load = max(shown, key=lambda load: (load.bears is not None, load.most / (load.bears.at if load.bears else 1.0)))
    return load_curve(level_rows(load), load.bears, load.waits)


PRESENTER = Presenter(Resilience, show, figure)
