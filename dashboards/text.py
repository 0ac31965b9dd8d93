"""How numbers read: durations with a unit that suits them, shares as per cent."""

import math
from collections.abc import Mapping
from typing import Any


def seconds_text(seconds: float | None) -> str:
    """A duration to two or three significant digits, in the unit that suits it.

    >>> [seconds_text(s) for s in (0.0, 0.00432, 0.0432, 0.432, 8.123, 75.0, 4000.0, 50_000.0, None)]
    ['0 s', '4.3 ms', '43 ms', '432 ms', '8.1 s', '75 s', '67 min', '14 h', '-']
    """
    if seconds is None or math.isnan(seconds):
        return "-"
    if seconds == 0.0:
        return "0 s"
    if seconds < 0.9995:
        return _digits(seconds * 1e3, "ms") if seconds >= 0.9995e-3 else _digits(seconds * 1e6, "µs")
    if seconds < 599.5:
        return _digits(seconds, "s")
    return _digits(seconds / 60.0, "min") if seconds < 35_970.0 else _digits(seconds / 3600.0, "h")


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


def quantile_text(row: Mapping[str, Any]) -> str:
    """A quantile of a report (value_s, low_s, high_s, status, needs_calls): with its interval, or what is known instead.

    >>> known = {"value_s": 8.1, "low_s": 7.9, "high_s": 8.4, "status": "ok", "needs_calls": None}
    >>> quantile_text(known), quantile_text(known | {"high_s": None})
    ('8.1 s (7.9 s to 8.4 s)', '8.1 s (7.9 s to ?)')
    >>> quantile_text({"value_s": 3.0, "status": "at_least"}), quantile_text({"status": "not_identifiable", "needs_calls": 287})
    ('>= 3.0 s', 'needs 287 more calls')
    """
    if row.get("timed") == 0:
        return "not seen"
    if row["status"] == "not_identifiable":
        return f"needs {row['needs_calls']:,} more call{'s' * (row['needs_calls'] != 1)}"
    if row["status"] == "at_least":
        return f">= {seconds_text(row['value_s'])}"
    low, high = (seconds_text(row[name]) for name in ("low_s", "high_s"))
    return f"{seconds_text(row['value_s'])} ({low} to {'?' if high == '-' else high})"


def amount_text(value: float | str, unit: str) -> str:
    """The value of a setting with its unit, as `analysis.policy.settings` names units.

    >>> amount_text(0.31, "s"), amount_text(2, "1"), amount_text(0.0012, "ratio"), amount_text("a,b", "conditions")
    ('310 ms', '2', '0.12 %', 'a, b')
    >>> amount_text(0.5, "per_s"), amount_text(34, "percent")
    ('0.5/s', '34 %')
    """
    from meshslo.analysis.policy.settings import UNIT_SUFFIX
    from meshslo.analysis.recommend.words import seconds, share

    if isinstance(value, str):
        return value.replace(",", ", ")
    if unit == "s":
        return seconds(float(value))
    suffix = next((text for name, text in UNIT_SUFFIX.items() if name == unit), "")
    return share(float(value)) if unit == "ratio" else f"{float(value):g}{suffix}"
