"""Where a trace's time goes: its critical path through serial and parallel calls, and each hop's share of the slow traces."""

from .chain import Asked, TimedTraces, chain, time_traces
from .result import Chain

__all__ = ["Asked", "Chain", "TimedTraces", "chain", "time_traces"]
