"""When the worker rests: a burst that outruns it is let in first, since what is in the log is safe and can wait."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .segments import opened_ns

REST_S: Final = 10.0
"""Age of the oldest segment from which the worker works on, whatever comes in."""
_WINDOW_S: Final = 1.0
_FREE_TO_WAITING: Final = 4
_NS: Final = 10**9


@dataclass
class Pace:
    """Compares what arrives with what steps have moved for their CPU time.

    As long as more arrives than a core moves, the log grows whatever the worker does: then every core is of more use to those
    who wait for an answer. Its rest is bounded by the age of what waits, and by the disk.
    """

    moved_per_cpu_s: float | None = None
    """Bytes of the log that a step on a full load moved in a CPU second; None before the first."""

    def learn(self, moved_bytes: int, cpu_s: float) -> None:
        """Take note of a step on a full load."""
        self.moved_per_cpu_s = moved_bytes / cpu_s

    def rests(self, segments: Iterable[Path], now_s: float, free_bytes: int) -> bool:
        """Whether the worker should let the `segments` that wait lie at `now_s`, with `free_bytes` left on their disk."""
        waiting = [(opened_ns(path) / _NS, _size_bytes(path)) for path in segments]
        if self.moved_per_cpu_s is None or not waiting or now_s - min(waiting)[0] >= REST_S:
            return False
        if free_bytes < _FREE_TO_WAITING * sum(size for _, size in waiting):
            return False
        arrived_bytes = sum(size for opened_s, size in waiting if now_s - opened_s < _WINDOW_S)
        return arrived_bytes > self.moved_per_cpu_s * _WINDOW_S


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        # It has just been sealed, which gives it another name: it counts at the next look.
        return 0
