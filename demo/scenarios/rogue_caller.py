"""A laptop with a certificate of the mesh calls the model server, and is let in, until each caller has its own routes alone."""

from itertools import product

from meshslo.analysis.boundary import Boundary
from meshslo.analysis.config import Config

from .guarded import Guarded
from .passage import Errand, Path, plan_errands
from .sidecars import Workload

ROUTES = ("/v1/chat/completions", "/v1/embeddings", "/admin/weights")
WORK = {("gateway", "/v1/chat/completions"), ("batch", "/v1/embeddings")}
CALLERS = (Workload("gateway"), Workload("batch", "jobs"), Workload("laptop", "dev"))
ROGUE = "laptop"
TENANTS = {"gateway": "acme", ROGUE: "acme"}
"""Whose tenant a caller names: the gateway's user, and whatever the laptop likes."""


def load(quick: bool) -> list[Errand]:
    """Much of what is meant, some of the laptop's, and a few of whatever else there is: every caller, every route."""
    much = 320 if quick else 900
    paths = [
        Path(caller.name, "generator", route, (caller.name, route) in WORK, tenant=TENANTS.get(caller.name, ""))
        for caller, route in product(CALLERS, ROUTES)
    ]
    counts = {path: much if path.meant else 9 if path.caller == ROGUE else 4 for path in paths}
    return plan_errands(counts, 6.0 if quick else 14.0)


SCENARIO = Guarded(
    name="rogue-caller",
    story="a laptop with a certificate of the mesh calls every route of the model server, and names a tenant",
    kind="identity",
    callers=CALLERS,
    services=(Workload("generator"),),
    load=load,
    config=Config(boundary=Boundary(tenant_facing=("gateway",))),
)
