"""Times by tokens: what one takes, and the timeout that follows."""

from meshslo.analysis.tokens import TokenTimes
from meshslo.dashboards.commands.tokens import show

from . import Presenter

PRESENTER = Presenter(TokenTimes, show)
