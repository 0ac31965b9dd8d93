"""Scenarios: one thing that goes wrong on a mesh, before and after under what meshslo makes of it. One file each.

Each ends in `SCENARIO`: some replicas of one inference server, one of them or their load in trouble, behind a real Envoy that
begins without any protection. The calls of the first run become advice, the advice Envoy's settings, and the same load runs
again under them.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

from meshslo.demo.load_plan import Ask
from meshslo.telemetry.discovery import members
from meshslo.telemetry.errors import BadInputError

from .figures import Figures
from .street import Stand

__all__ = ["Evidence", "Mended", "Scenario", "scenario_of", "scenarios"]


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


def scenarios() -> dict[str, Scenario]:
    """Every scenario there is, by name."""
    found: list[Scenario] = list(members(sys.modules[__name__], "SCENARIO"))  # type: ignore[arg-type]  # what ends so is one
    return {scenario.name: scenario for scenario in found}


def scenario_of(name: str) -> Scenario:
    """The scenario of a name; BadInputError names those there are."""
    every = scenarios()
    if name not in every:
        raise BadInputError(f'no scenario "{name}"; there are {", ".join(sorted(every))}')
    return every[name]
