"""A comparison: what moved and what did not."""

from meshslo.analysis.comparison import Compared
from meshslo.dashboards.commands.compare import show

from . import Presenter

PRESENTER = Presenter(Compared, show)
