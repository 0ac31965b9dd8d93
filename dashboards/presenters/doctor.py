"""What doctor finds, as it prints it."""

from meshslo.analysis.doctor import Diagnosis
from meshslo.dashboards.commands.doctor import show

from . import Presenter

PRESENTER = Presenter(Diagnosis, show)
