"""Lengths of time as objectives write them, and the windows of burn-rate alerts.

A budget that burns at factor f is spent after 1/f of the objective's window. An alert asks two windows: the long one says
that it matters, the short one (a twelfth) that it still goes on.
Source: The Site Reliability Workbook, chapter 5, multiwindow multi-burn-rate alerts.
"""

import math
import re
from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["page", "ticket"]

MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
_UNITS_S: Final = {"m": MINUTE_S, "h": HOUR_S, "d": DAY_S, "w": 7 * DAY_S}


@dataclass(frozen=True)
class BurnWindow:
    """One alert: `share` of the whole budget spent within `long_s` wakes somebody (page) or waits till morning (ticket)."""

    severity: Severity
    share: float
    long_s: int

    @property
    def short_s(self) -> int:
        """The window that shows whether it still goes on."""
        return self.long_s // 12

    def factor(self, period_s: int) -> float:
        """The burn rate at which `share` of the budget of `period_s` is spent within the long window.

        >>> BurnWindow("page", 0.02, 3600).factor(30 * 24 * 3600)
        14.4
        """
        return round(self.share * period_s / self.long_s, 6)


BURN_WINDOWS: Final[dict[int, tuple[BurnWindow, ...]]] = {
    # The workbook's table, for a month.
    28 * DAY_S: (
        BurnWindow("page", 0.02, HOUR_S),
        BurnWindow("page", 0.05, 6 * HOUR_S),
        BurnWindow("ticket", 0.10, DAY_S),
        BurnWindow("ticket", 0.10, 3 * DAY_S),
    ),
    # A week: budget shares as sloth ships them (examples/windows/7d.yaml). Copying 14.4 would page for 8.6 % in an hour.
    7 * DAY_S: (
        BurnWindow("page", 0.08, HOUR_S),
        BurnWindow("page", 0.125, 6 * HOUR_S),
        BurnWindow("ticket", 0.20, DAY_S),
        BurnWindow("ticket", 0.42, 3 * DAY_S),
    ),
    # A day is too short for windows of days; both factors (6 and 2) are our choice.
    DAY_S: (BurnWindow("page", 0.25, HOUR_S), BurnWindow("ticket", 0.50, 6 * HOUR_S)),
}
"""Alerts by the shortest objective window that they suit, in seconds."""

PACE_S: Final = 6 * HOUR_S
"""How far back the pace is looked at that says when a budget will be spent: an hour is noise, a day is yesterday's news."""

FEWEST_FAILURES: Final = 3
"""Broken calls in the long window below which no alert fires: one failure at night is no trend, whatever its share."""

_SHORTEST_S: Final = DAY_S
_LONGEST_S: Final = 90 * DAY_S


def parse_window_s(text: str) -> int:
    """Seconds in the window of an objective: whole days or weeks, from 1d to 90d; ValueError says so.

    >>> parse_window_s("30d"), parse_window_s("4w")
    (2592000, 2419200)
    """
    found = re.fullmatch(r"(\d{1,3})([dw])", text.strip())
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise ValueError(f'"{text}" is no window of an objective; write whole days or weeks from 1d to 90d, such as 30d')
    return seconds


def window_text(seconds: int) -> str:
    """The shortest way to write a length of time, as Prometheus reads it.

    >>> window_text(300), window_text(3600), window_text(7 * 24 * 3600), window_text(5400)
    ('5m', '1h', '7d', '90m')
    """
    for unit in ("d", "h", "m"):
        if seconds % _UNITS_S[unit] == 0:
            return f"{seconds // _UNITS_S[unit]}{unit}"
    return f"{seconds}s"


def burn_windows(period_s: int) -> tuple[BurnWindow, ...]:
    """The alerts for an objective over `period_s`: those of the longest table that is not longer than it."""
    return BURN_WINDOWS[max(shortest for shortest in BURN_WINDOWS if shortest <= max(period_s, _SHORTEST_S))]


def calls_for_one(factor: float, budget: float) -> int:
    """Calls in a window below which one failure alone burns faster than `factor`: 1 / (factor x budget).

    >>> [calls_for_one(factor, 0.001) for factor in (14.4, 6, 3, 1)]
    [70, 167, 334, 1000]
    """
    # The rounding keeps 1000 at 1000 where binary fractions make it 1000.0000000000001.
    return math.ceil(round(1.0 / (factor * budget), 6))
