"""How objectives stand, in words: the command line and the dashboard say the same."""

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from meshslo.analysis.slo.standing import Standing

WORST: Final = 30
"""Rows of a list of the worst: a screen of them."""


def name_of(standing: "Standing") -> str:
    """The objective's name, and the route, model and tenant that it is about."""
    return " ".join([standing.objective.name, *(value or "-" for value in list(standing.objective.selection.values())[1:])])


def status_text(standing: "Standing") -> str:
    """Met, missed, undecided or no data; and whether the calls are too few to be sure."""
    is_open = standing.is_sure or standing.attained is None
    return standing.status.replace("_", " ") + ("" if is_open else " (not sure)")


def budget_left(standing: "Standing") -> float:
    """By which the worst comes first, and what has no calls last."""
    return standing.budget_left.estimate if standing.budget_left else math.inf


def percent_text(share: float) -> str:
    """Per cent to three digits; near 100 to two digits of what is missing, which is what a budget is made of.

    >>> [percent_text(share) for share in (0.8256, 0.99123, 0.9998754, 1.0, -11.07)]
    ['82.6', '99.12', '99.988', '100', '-1,107']
    """
    percent = 100.0 * share
    if 99.0 < percent < 100.0:
        return f"{percent:.{min(1 - math.floor(math.log10(100.0 - percent)), 9)}f}"
    return f"{percent:.3g}" if abs(percent) < 1000.0 else f"{percent:,.0f}"
