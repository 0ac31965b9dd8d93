"""What the demo runs: how much load, how fast the simulated models, which mistakes the mesh starts with."""

from dataclasses import dataclass, replace
from typing import Final

CHAT: Final = "/v1/chat/completions"
RETRIEVE: Final = "/v1/retrieve"
RERANK: Final = "/v1/rerank"

ROUTES: Final[dict[str, str]] = {"gateway": CHAT, "retriever": RETRIEVE, "reranker": RERANK, "generator": CHAT}
"""The services in the order of the chain, and the route each answers."""

HOPS: Final = ("ingress>gateway", "gateway>retriever", "retriever>reranker", "gateway>generator")
PATHS: Final = (HOPS[:3], (HOPS[0], HOPS[3]))
"""The ways a request goes from the entry to a service that calls no other."""


@dataclass(frozen=True)
class DemoSettings:
    """One demo. `pace` stretches the models' time and the timeout on their streams alike (1: a 3 s cap)."""

    requests: int = 1300
    """Requests a run; each hop x route x model needs 299 calls for a 1 % false-timeout promise."""
    seconds: float = 62.0
    """How long a run's requests keep coming."""
    false_timeout_ratio: float = 0.01
    pace: float = 1.0
    seed: int = 7
    settle_s: float = 10.0
    """How long the collector waits for the rest of a trace."""

    @property
    def deadline_s(self) -> float:
        """What a user waits at most; the load generator gives up then."""
        return 30.0 * self.pace


QUICK: Final = replace(DemoSettings(), requests=170, seconds=9.0, false_timeout_ratio=0.05, pace=0.4, settle_s=5.0)
"""The shortened form: 59 calls a target suffice for its 5 % promise."""
