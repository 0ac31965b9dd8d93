"""A manifest for each thing that a rule finds, and the same one mended."""

from . import identity, resilience, retries, telemetry, timeouts
from .case import Case

__all__ = ["CASES", "Case"]

CASES = [*timeouts.CASES, *retries.CASES, *resilience.CASES, *identity.CASES, *telemetry.CASES]
