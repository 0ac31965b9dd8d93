"""Widths of time buckets: as fine as a picture can show."""

from datetime import timedelta
from typing import Final

BUCKETS: Final = ("1s", "10s", "1m", "5m", "15m", "1h", "6h", "1d", "7d")
_BUCKET_S: Final = (1, 10, 60, 300, 900, 3600, 21600, 86400, 604800)
MOST_BUCKETS: Final = 60
"""More points on a time axis than this do not show more."""


_UNITS: Final = {"s": "second", "m": "minute", "h": "hour", "d": "day"}


def every(bucket: str) -> str:
    """How often a bucket comes, in words.

    >>> every("1s"), every("15m")
    ('every second', 'every 15 minutes')
    """
    number, unit = bucket[:-1], _UNITS[bucket[-1]]
    return f"every {unit}" if number == "1" else f"every {number} {unit}s"


def bucket_for(length: timedelta) -> str:
    """The shortest time bucket of which so long a window has at most `MOST_BUCKETS`.

    >>> bucket_for(timedelta(minutes=6)), bucket_for(timedelta(days=30))
    ('10s', '1d')
    """
    fitting = (
        name for name, width_s in zip(BUCKETS, _BUCKET_S, strict=True) if length.total_seconds() <= width_s * MOST_BUCKETS
    )
    return next(fitting, BUCKETS[-1])
