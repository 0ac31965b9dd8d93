"""Emitters: recommendations as a mesh's own policies. One file a mesh, each ending in `EMITTER`.

The contract: documents in a stable order; what the manifests in use hold beyond the recommended settings stays as it is;
emitting on top of what was emitted changes nothing; each setting that the mesh cannot express comes back as
`not_expressible` with the closest thing there is and its danger.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from meshslo.analysis.config import Emit
from meshslo.analysis.policy.manifest import dump
from meshslo.analysis.recommend.recommendation import Recommendation, Recommendations
from meshslo.telemetry.discovery import members
from meshslo.telemetry.errors import BadInputError

from .plan import Plan, make_plan

__all__ = ["Document", "Emission", "Emitter", "Plan", "emit", "emitters"]


@dataclass(frozen=True)
class Document:
    """A file to write: its path below the output folder, and its text."""

    path: str
    text: str

    @classmethod
    def of(cls, path: str, bodies: Iterable[Any], comments: Iterable[str] = ()) -> "Document":
        """YAML of some resources below lines of comment."""
        return cls(path, "\n".join([*comments, "---\n".join(map(dump, bodies))]))


@dataclass(frozen=True)
class Emission:
    """Documents by path, and the recommendations that they do not hold, each saying why."""

    documents: tuple[Document, ...]
    unexpressed: tuple[Recommendation, ...] = ()


class Emitter(Protocol):
    """Writes policies of one mesh."""

    name: str
    """The mesh: "istio"."""

    def emit(self, plan: Plan) -> Emission:
        """Documents that put the plan into effect."""
        ...


def emitters() -> dict[str, Emitter]:
    """Every emitter there is, by name: those in this folder and those of the entry points `meshslo.emitters`."""
    found: list[Emitter] = list(members(sys.modules[__name__], "EMITTER"))  # type: ignore[arg-type]  # the contract suite holds it
    return {emitter.name: emitter for emitter in found}


def emit(
    name: str, recommendations: Recommendations, *, settings: Emit | None = None, manifests: Mapping[str, str] | None = None
) -> Emission:
    """Policies of the mesh `name` for these recommendations, on top of `manifests` (file name -> text) where given.

    Raises BadInputError for a mesh without an emitter.
    """
    every = emitters()
    if name not in every:
        raise BadInputError(f'no emitter for "{name}"; there are {", ".join(sorted(every))}')
    return every[name].emit(make_plan(recommendations, settings or Emit(), manifests or {}))
