"""Which earlier recommendations still hold, as `recommend --check` prints it."""

from meshslo.analysis.recommend.drift import Supports
from meshslo.dashboards.commands.recommend import show_support

from . import Presenter

PRESENTER = Presenter(Supports, show_support)
