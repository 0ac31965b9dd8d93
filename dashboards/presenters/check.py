"""Findings in manifests, as check prints them."""

from meshslo.analysis.check import Findings
from meshslo.dashboards.commands.check import show

from . import Presenter

PRESENTER = Presenter(Findings, show)
