"""A simulation: the chain and its hops, now and under the proposal."""

from meshslo.analysis.simulate import Simulation
from meshslo.dashboards.commands.simulate import show

from . import Presenter

PRESENTER = Presenter(Simulation, show)
