"""The report and the recommendations of a run on the terminal, as the commands of the same names print them."""

from typing import Final

from rich.console import Console

from meshslo.analysis.recommend import Recommendations
from meshslo.dashboards.commands import recommend, report
from meshslo.dashboards.tables import heading

from .advice import Advice

WORTH_SHOWING: Final = ("change", "explore")


def show_report(advice: Advice, title: str, console: Console) -> None:
    """Print outcomes and quantiles of every hop and model."""
    heading(console, title)
    report.show(advice.report, console)


def show_recommendations(advice: Advice, title: str, console: Console) -> None:
    """Print what is to change; what stays, or is not known yet, is counted."""
    items = advice.recommendations.items
    shown = tuple(item for item in items if item.status in WORTH_SHOWING)
    heading(console, title)
    recommend.show(Recommendations(items=shown), console)
    rest = {status: sum(item.status == status for item in items) for status in sorted({item.status for item in items})}
    counted = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in rest.items())
    console.print(f"{len(items)} answers: {counted}. recommendations.json holds them all, each with its reason.")
