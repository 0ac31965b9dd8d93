"""An agent sends some of its prompts to a model endpoint that nobody approved, until its proxy lets out approved ones alone."""

from meshslo.analysis.config import Config, Egress

from .guarded import Guarded
from .passage import Errand, Path, plan_errands
from .sidecars import Workload

CHAT = "/v1/chat/completions"
APPROVED, OTHER = "api.approved.example", "models.elsewhere.example"


def load(quick: bool) -> list[Errand]:
    """Both callers at the approved host, and some of the agent's at the other."""
    much, some = (320, 24) if quick else (900, 60)
    counts = {
        Path("gateway", APPROVED, CHAT, meant=True, model="large"): much,
        Path("agent", APPROVED, CHAT, meant=True, model="large"): much,
        Path("agent", OTHER, CHAT, meant=False, model="cheap"): some,
    }
    return plan_errands(counts, 6.0 if quick else 14.0)


SCENARIO = Guarded(
    name="unapproved-endpoint",
    story="an agent sends some of its prompts to a model endpoint that nobody approved",
    kind="egress",
    callers=(Workload("gateway"), Workload("agent")),
    hosts=(APPROVED, OTHER),
    load=load,
    config=Config(egress=Egress(approved_hosts=(APPROVED,))),
)
