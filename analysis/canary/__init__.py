"""Canaries: a candidate compared with its baseline call by call, a verdict that is safe to look at at any time, its routing."""

from .arms import Arms, parse_arms, select_arms, tells
from .course import Course, Look
from .rollout import Rollout, route_documents
from .verdict import Canary, CanarySettings, judge

__all__ = [
    "Arms",
    "Canary",
    "CanarySettings",
    "Course",
    "Look",
    "Rollout",
    "judge",
    "parse_arms",
    "route_documents",
    "select_arms",
    "tells",
]
