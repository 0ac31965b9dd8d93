"""A chain: what each hop takes of whole traces."""

from meshslo.analysis.paths import Chain
from meshslo.dashboards.commands.chain import show

from . import Presenter

PRESENTER = Presenter(Chain, show)
