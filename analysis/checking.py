"""The config's table on `meshslo check`: what to keep quiet about, and which releases of meshes are in use."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Ignore(BaseModel):
    """Findings that `meshslo check` keeps quiet about."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: Annotated[str, Field(pattern=r"^MS\d{3}$")]
    """Of the rule: see docs/rules."""
    path: str = "*"
    """Files it is for, as findings name them; `*` stands for any text, folders included."""
    reason: Annotated[str, Field(min_length=3)]
    """Why, for those who read the config later."""


class Check(BaseModel):
    """How `meshslo check` looks at manifests."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ignore: tuple[Ignore, ...] = ()
    versions: dict[str, Annotated[str, Field(pattern=r"^v?\d+\.\d+")]] = {}
    """Versions of the meshes in use, by name (istio, linkerd, envoy-gateway, ...); the newest stable where absent."""
