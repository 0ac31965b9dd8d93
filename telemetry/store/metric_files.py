"""The files of the metric store: named by the window their steps lie in, so that a reader opens only those it needs.

STORE/metrics/PROFILE/SOURCE/SINCE-UNTIL[-ID].parquet      whole seconds since the epoch
"""

from datetime import UTC, datetime
from pathlib import Path

Window = tuple[datetime, datetime]
"""From the first on, and before the second."""


def named(since_s: int, until_s: int, name: str = "") -> str:
    """The name of a file of [since_s, until_s); `name` tells it from others of the same window."""
    return "-".join(filter(None, (str(since_s), str(until_s), name))) + ".parquet"


def window_of(path: Path) -> Window:
    """The window in a file's name, be it a temporary one."""
    since, until = path.stem.removeprefix(".").removesuffix(".parquet").split("-")[:2]
    return datetime.fromtimestamp(int(since), UTC), datetime.fromtimestamp(int(until), UTC)


def touches(window: Window, since: datetime | None, until: datetime | None) -> bool:
    """Whether a step within `window` may begin in [since, until)."""
    return (since is None or window[1] > since) and (until is None or window[0] < until)


def holds(window: tuple[datetime | None, datetime | None], held: Window) -> bool:
    """Whether every step within `held` begins in `window`; None is an open end."""
    since, until = window
    return (since is None or since <= held[0]) and (until is None or held[1] <= until)
