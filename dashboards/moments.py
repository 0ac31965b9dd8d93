"""Moments as people type them: so long ago, or a date and time."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from meshslo.telemetry.errors import BadConfigError

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(text: str, now: datetime) -> datetime:
    """The moment that `text` names: "now", a length of time before `now` such as 24h, or ISO 8601 (UTC unless it says).

    Raises BadConfigError for anything else.

    >>> noon = datetime(2026, 11, 2, 12, tzinfo=UTC)
    >>> parse_moment("90m", noon).isoformat(), parse_moment("2026-11-01", noon).isoformat()
    ('2026-11-02T10:30:00+00:00', '2026-11-01T00:00:00+00:00')
    """
    text = text.strip()
    if text == "now":
        return now
    if ago := re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text):
        return now - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadConfigError(f"{text!r} is no time: write 90m, 24h, 7d, now, or 2026-11-02T09:00:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_length_s(text: str, option: str) -> float:
    """Seconds in a length of time such as 10m or 30d; BadConfigError naming `option` for anything else, or for no time.

    >>> parse_length_s("1.5h", "--every")
    5400.0
    """
    now = datetime.now(UTC)
    length_s = (now - parse_moment(text, now)).total_seconds()
    if length_s <= 0:
        raise BadConfigError(f"{option} {text} is no time at all: pass a length such as 30m or 30d")
    return length_s
