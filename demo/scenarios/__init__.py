"""Scenarios: one thing that goes wrong on a mesh, before and after under what meshslo makes of it. One file each.

Each ends in `SCENARIO`: some replicas of one inference server, one of them or their load in trouble, behind a real Envoy that
begins without any protection. The calls of the first run become advice, the advice Envoy's settings, and the same load runs
again under them.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from meshslo.demo.load_plan import Ask
from meshslo.telemetry.discovery import members
from meshslo.telemetry.errors import BadInputError

from .figures import Figures
from .street import Stand

__all__ = ["Evidence", "Mended", "Playable", "Scenario", "scenario_of", "scenarios"]


class Playable(Protocol):
    """What every scenario can do; `Scenario` is one of replicas in trouble, `guarded.Guarded` one of who may call whom."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        ...

    def play(self, folder: Path, *, quick: bool = False) -> bool:
        """Run it into `folder`, shortened where asked; True where the second run is better, as it is meant to be."""
        ...


@dataclass(frozen=True)
class Evidence:
    """What the first run left: its calls, and the bootstrap it ran under by file name."""

    calls: pl.DataFrame
    manifests: Mapping[str, str]


@dataclass(frozen=True)
class Mended:
    """The bootstrap to run under next, and what led to it in sentences."""

    manifests: Mapping[str, str]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Scenario:
    """One scenario. `load` draws the requests of a run, shortened where asked; `holds` is whether the second run is better."""

    name: str
    story: str
    stands: tuple[Stand, ...]
    load: Callable[[bool], list[Ask]]
    mend: Callable[[Evidence], Mended]
    holds: Callable[[Figures, Figures], bool]
    weights: Mapping[str, int] = field(default_factory=dict)
    """Per cent of the calls for each version, where they are told apart; none: one cluster of all replicas."""
    zones: tuple[str, ...] = ()
    """Zones that callers are in, each with a proxy of their own; none: the proxy is the replicas'."""

    def play(self, folder: Path, *, quick: bool = False) -> bool:
        """See `play.play`."""
        from .play import play

        return play(self, folder, quick=quick)


def scenarios() -> dict[str, Playable]:
    """Every scenario there is, by name."""
    found: list[Playable] = list(members(sys.modules[__name__], "SCENARIO"))  # type: ignore[arg-type]  # what ends so is one
    return {scenario.name: scenario for scenario in found}


def scenario_of(name: str) -> Playable:
    """The scenario of a name; BadInputError names those there are."""
    every = scenarios()
    if name not in every:
        raise BadInputError(f'no scenario "{name}"; there are {", ".join(sorted(every))}')
    return every[name]
