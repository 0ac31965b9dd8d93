"""How numbers read: durations with a unit that suits them, shares as per cent."""

import math


def seconds_text(seconds: float | None) -> str:
    """A duration to two or three significant digits, in the unit that suits it.

    >>> [seconds_text(s) for s in (0.00432, 0.0432, 0.432, 8.123, 75.0, 4000.0, None)]
    ['4.3 ms', '43 ms', '432 ms', '8.1 s', '75 s', '67 min', '-']
    """
    if seconds is None or math.isnan(seconds):
        return "-"
    if seconds < 0.9995:
        return _digits(seconds * 1e3, "ms") if seconds >= 0.9995e-3 else _digits(seconds * 1e6, "µs")
    return _digits(seconds, "s") if seconds < 999.5 else _digits(seconds / 60.0, "min")


def _digits(number: float, unit: str) -> str:
    return f"{number:.1f} {unit}" if number < 9.95 else f"{number:.0f} {unit}"


def share_text(part: float, whole: float) -> str:
    """A share as per cent; one that is not nothing never reads as 0.

    >>> share_text(0, 10), share_text(1, 8), share_text(1, 100_000), share_text(999_999, 1_000_000)
    ('0 %', '12.5 %', '<0.1 %', '>99.9 %')
    """
    if whole <= 0 or part <= 0:
        return "0 %"
    percent = 100.0 * part / whole
    if percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100.0:
        return ">99.9 %"
    return f"{percent:.1f} %".replace(".0 %", " %")
