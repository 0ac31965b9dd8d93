"""What is known of callers, and its JSON."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import polars as pl

from meshslo.analysis.answer import Answer
from meshslo.analysis.boundary import Side
from meshslo.analysis.doctor import SEVERITIES, Finding, Severity

__all__ = ["SEVERITIES", "Edge", "Exposure", "Host", "Security"]

SCHEMA: Final = "meshslo.security/1"


@dataclass(frozen=True)
class Edge:
    """Calls of one hop under one pair of identities (None: not told), as one witness saw them.

    Of `calls`, `mutual` came over mutual TLS and `plain` without a certificate; the rest does not say. `refused` were answered
    with 401 or 403; metrics do not tell.
    """

    caller: str
    callee: str
    caller_side: Side | None
    callee_side: Side | None
    caller_identity: str | None
    callee_identity: str | None
    calls: int
    mutual: int
    plain: int
    refused: int
    seen_by: str

    @property
    def untold(self) -> int:
        """Calls that do not say over which connection they came."""
        return self.calls - self.mutual - self.plain


@dataclass(frozen=True)
class Host:
    """Calls of a host outside the mesh; `approved` is None where the config lists no approved hosts."""

    caller: str
    host: str
    models: tuple[str, ...]
    calls: int
    approved: bool | None


@dataclass(frozen=True)
class Exposure(Finding):
    """A finding, with the number of calls it rests on and who made them."""

    calls: int
    callers: tuple[str, ...]


_EDGE: Final = pl.Schema(
    dict.fromkeys(("caller", "callee", "caller_side", "callee_side", "caller_identity", "callee_identity"), pl.String())
    | dict.fromkeys(("calls", "mutual", "plain", "refused"), pl.Int64())
    | {"seen_by": pl.String()}
)


@dataclass(frozen=True)
class Security(Answer):
    """Edges and hosts in order, and findings, the worst first, of the calls from `start` to `end`."""

    edges: tuple[Edge, ...]
    hosts: tuple[Host, ...]
    findings: tuple[Exposure, ...]
    start: datetime
    end: datetime

    def at_least(self, severity: Severity) -> tuple[Exposure, ...]:
        """The findings of this severity or a worse one."""
        return tuple(found for found in self.findings if SEVERITIES.index(found.severity) >= SEVERITIES.index(severity))

    @property
    def frame(self) -> pl.DataFrame:
        """One row an edge."""
        return pl.DataFrame([asdict(edge) for edge in self.edges], schema=_EDGE)

    def to_json(self) -> str:
        """The JSON that `meshslo security --output json` prints."""
        return json.dumps(self.to_dict(), indent=2)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document as Python values."""
        return {
            "schema": SCHEMA,
            "window": {"start": self.start.isoformat(), "end": self.end.isoformat()},
            "edges": [asdict(edge) for edge in self.edges],
            "hosts": [asdict(host) for host in self.hosts],
            "findings": [asdict(finding) for finding in self.findings],
        }
