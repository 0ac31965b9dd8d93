"""Where tenants end and the mesh begins: which services tenants' requests reach, and which only the mesh itself may call.

[boundary]
tenant_facing = ["gateway"]      # those that the entry calls, where none is named
internal = ["vector-*"]          # every other service of the mesh, where none is named
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from meshslo.telemetry.vocabulary import INGRESS, UNKNOWN

Side = Literal["tenants", "internal"]


class Boundary(BaseModel):
    """Services by name, or by patterns such as vector-*; one that both match is internal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant_facing: tuple[str, ...] = ()
    """Services that tenants' requests reach; those that the entry calls where none is named."""
    internal: tuple[str, ...] = ()
    """Services that only the mesh itself may call; every other one where none is named."""

    @model_validator(mode="after")
    def _divides(self) -> Self:
        both = sorted(set(self.tenant_facing) & set(self.internal))
        if both:
            raise ValueError(f"{both[0]} is both tenant_facing and internal; name it in one of them")
        return self


def sides(hops: Iterable[str], boundary: Boundary) -> dict[str, Side]:
    """The side of each service of these hops, of those that are on one; the tenants themselves (ingress) are on theirs.

    >>> sides(["ingress>gateway", "gateway>vectors", "batch>vectors"], Boundary())
    {'batch': 'internal', 'gateway': 'tenants', 'ingress': 'tenants', 'vectors': 'internal'}
    >>> sides(["ingress>gateway", "gateway>vectors", "batch>vectors"], Boundary(internal=("vec*",)))
    {'gateway': 'tenants', 'ingress': 'tenants', 'vectors': 'internal'}
    """
    pairs = [hop.partition(">")[::2] for hop in hops]
    facing = boundary.tenant_facing or tuple({callee for caller, callee in pairs if caller == INGRESS})
    found: dict[str, Side] = {}
    for service in sorted({name for pair in pairs for name in pair} - {UNKNOWN, ""}):
        if _matches(service, boundary.internal):
            found[service] = "internal"
        elif service == INGRESS or _matches(service, facing):
            found[service] = "tenants"
        elif not boundary.internal:
            found[service] = "internal"
    return found


def _matches(service: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(service, pattern) for pattern in patterns)


WORDS: Final[dict[Side | None, str]] = {"tenants": "tenant-facing", "internal": "internal", None: "-"}
"""What a side is called."""
