"""What if: the observed calls replayed under other timeouts and retries.

    calls -> reading (requests, attempts) -> fates (how cut ones would have ended) -> engine, room (one proxy's rules)
          -> chain (all hops, inside out) -> expand (what happens, outside in) -> tally -> estimates, quantities -> result

The rules are Envoy's. What the calls do not show is simulated at both ends of what may be, and answered as bounds.
"""

from .policy import Mesh, read_mesh
from .result import Simulation
from .run import BY, simulate

__all__ = ["BY", "Mesh", "Simulation", "read_mesh", "simulate"]
