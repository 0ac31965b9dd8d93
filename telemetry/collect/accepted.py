"""The signals that a collector takes."""

from typing import Final

from .logs import LOGS
from .metrics import METRICS
from .signals import Signal
from .traces import TRACES

SIGNALS: Final[tuple[Signal, ...]] = (TRACES, LOGS, METRICS)
