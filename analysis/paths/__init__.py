"""Where a trace's time goes: its critical path through serial and parallel calls, and each hop's share of the slow traces."""

from .chain import Asked, chain, time_traces
from .result import Chain

__all__ = ["Asked", "Chain", "chain", "time_traces"]
