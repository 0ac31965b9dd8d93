"""The signals that a collector takes."""

from typing import Final

from .logs import LOGS
from .signals import Signal
from .traces import TRACES

SIGNALS: Final[tuple[Signal, ...]] = (TRACES, LOGS)
