"""What `meshslo chain` says, as values, as a frame and as JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import polars as pl

from meshslo.analysis.answer import Answer
from meshslo.analysis.quantile import Quantile

SCHEMA: Final = "meshslo.chain/1"


@dataclass(frozen=True)
class Share:
    """A hop's share of the time of slow traces, with its interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Slow:
    """How many traces lie at and beyond a quantile; needs_traces: more traces that it takes until there are shares, or 0."""

    traces: int
    needs_traces: int


@dataclass(frozen=True)
class HopTime:
    """What one hop takes of the traces of a chain, in seconds a trace, 0 where nobody waited for it.

    on_path: on the critical path, calls inside included; own: without these. traces: those that called it; calls: how many
    calls they made of it; repeated: of these, later attempts; parallel: the most calls of it that ran at once under one call.
    shares: of the time of the slow traces, by quantile; None where these are too few.
    """

    hop: str
    depth: int
    vantage: str
    traces: int
    calls: int
    repeated: int
    parallel: int
    on_path: tuple[Quantile, ...]
    own: tuple[Quantile, ...]
    shares: tuple[Share | None, ...]


@dataclass(frozen=True)
class Way:
    """One way into the chain: entry hop and keys, its traces' durations, and its hops, outer ones first.

    traces: those that ended ok or were cut; failed: the others, which are no latency of success. total, slow: by quantile.
    """

    entry: str
    keys: dict[str, str | None]
    traces: int
    failed: int
    total: tuple[Quantile, ...]
    slow: tuple[Slow, ...]
    hops: tuple[HopTime, ...]


@dataclass(frozen=True)
class Chain(Answer):
    """Every way in, the busiest first; and what the traces themselves are worth.

    outside: calls that were not within the call around them; repaired: of these, those that a shift of a clock put there;
    unawaited: those that outlasted a call around them that ended well. left_out: calls in no chain, by reason. one_in: 1 / the
    share of the traces that was looked at. notes: which calls count as cut although nothing says so.
    """

    ways: tuple[Way, ...]
    quantiles: tuple[float, ...]
    calls: int
    outside: int
    repaired: int
    unawaited: int
    left_out: dict[str, int]
    one_in: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON document as Python values, schema `meshslo.chain/1`."""
        return {
            "schema": SCHEMA,
            "quantiles": list(self.quantiles),
            "ways": [asdict(way) for way in self.ways],
            "clocks": {name: getattr(self, name) for name in ("calls", "outside", "repaired", "unawaited")},
            "left_out": self.left_out,
            "one_trace_in": self.one_in,
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """The JSON that `meshslo chain --output json` prints."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    @property
    def frame(self) -> pl.DataFrame:
        """One row a way, hop and quantile: entry, its keys, hop and counts, on_path and own with intervals, the share."""
        return pl.DataFrame(list(self._flat()), infer_schema_length=None)

    def _flat(self) -> Iterator[dict[str, Any]]:
        for way in self.ways:
            for hop in way.hops:
                counts = {name: getattr(hop, name) for name in _COUNTS}
                for place, q in enumerate(self.quantiles):
                    times = _columns("on_path", hop.on_path[place]) | _columns("own", hop.own[place])
                    share = hop.shares[place]
                    told = {f"share_{name}": getattr(share, name, None) for name in ("estimate", "low", "high")}
                    yield {"entry": way.entry, **way.keys, **counts, "q": q, **times, **told}


_COUNTS: Final = ("hop", "depth", "vantage", "traces", "calls", "repeated", "parallel")


def _columns(name: str, found: Quantile) -> dict[str, Any]:
    values = {f"{name}_{part}": getattr(found, part) for part in ("value_s", "low_s", "high_s")}
    return values | {f"{name}_status": found.status}
