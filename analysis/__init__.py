"""What it means: rollups, estimates, recommendations. Tables in, values out; files, sockets and clocks come in as arguments.

from meshslo.analysis import open_store
open_store("./meshslo-store").report(by=["hop", "model"])
"""

from .api import CallStore, from_calls, open_store

__all__ = ["CallStore", "from_calls", "open_store"]
