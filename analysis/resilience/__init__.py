"""How a chain bears load and broken parts: calls in progress and the knee, pods and whom a detector would eject, zones.

It shows what is; what to set, `recommend breakers outliers localities` proposes from the same evidence.
"""

from .overview import resilience
from .result import HopLimit, Level, Load, Out, Pod, Resilience, ZonePair

__all__ = ["HopLimit", "Level", "Load", "Out", "Pod", "Resilience", "ZonePair", "resilience"]
