"""Callers: who calls whom, by how the calls are protected."""

from typing import TYPE_CHECKING

from meshslo.analysis.security import Security
from meshslo.dashboards.commands.security import show

from . import Presenter

if TYPE_CHECKING:
    import plotly.graph_objects as go


def figure(answer: Security) -> "go.Figure | None":
    """The call graph by protection; None where no call inside the mesh was seen."""
    from meshslo.dashboards.figures import who_calls_whom
    from meshslo.dashboards.frames import security_rows

    return who_calls_whom(security_rows(answer)) if answer.edges else None


PRESENTER = Presenter(Security, show, figure)
