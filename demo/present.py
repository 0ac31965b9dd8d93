"""The report and the recommendations of a run on the terminal, as the commands of the same names print them."""

from rich.console import Console

from meshslo.dashboards.commands import recommend, report
from meshslo.dashboards.tables import heading

from .advice import Advice


def show_report(advice: Advice, title: str, console: Console) -> None:
    """Print outcomes and quantiles of every hop and model."""
    heading(console, title)
    report.show(advice.report, console)


def show_recommendations(advice: Advice, title: str, console: Console) -> None:
    """Print what is to change; what stays, or is not known yet, is counted."""
    heading(console, title)
    recommend.show_to_do(advice.recommendations, console, where="recommendations.json holds them all, each with its reason.")
