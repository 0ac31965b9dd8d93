"""Grafana dashboards, generated: one file a dashboard in `boards/`, each ending in `BOARD = Board(...)`.

own           what our collector exports, as a profile like those of the meshes in `telemetry.prometheus.profiles`
promql, views, names      the queries, from a profile's names: a panel asks for "p99 of the first token" and writes no name
board         what a board is made of
defaults, build           how it becomes Grafana's JSON
provisioning  the files by which a Grafana finds it all

A profile that lacks a metric or label leaves the panel out, and the reason is listed. The same input gives the same files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from meshslo.analysis.recommend import Recommendations
from meshslo.telemetry.discovery import members
from meshslo.telemetry.prometheus.profile import Profile
from meshslo.telemetry.prometheus.profiles import chosen

from . import boards
from .board import Advice, Board, Query
from .build import LeftOut, make
from .names import Names
from .own import OWN
from .provisioning import FILES

__all__ = ["OWN", "Board", "Generated", "LeftOut", "Query", "all_boards", "generate", "profiles"]


@dataclass(frozen=True)
class Generated:
    """Files by their path below the output folder, and the panels that could not be made."""

    files: dict[str, str]
    left_out: tuple[LeftOut, ...]


def all_boards() -> list[Board]:
    """Every dashboard there is, in the order of their names."""
    return [cast("Board", member) for member in members(boards, "BOARD")]


def profiles(names: Sequence[str], users: Sequence[Profile] = ()) -> list[Profile]:
    """The profiles of these names, or all where none is named: our own first. BadConfigError for a name that none has."""
    return chosen(names, [OWN, *users]) if names else [OWN, *(one for one in chosen((), users) if one.name != OWN.name)]


def generate(of: Sequence[Profile], advice: Recommendations | None = None) -> Generated:
    """Every dashboard from the names of each profile, and the provisioning files; with recommended values as lines."""
    files: dict[str, str] = {}
    left_out: list[LeftOut] = []
    for profile in of:
        names = Names(profile)
        for board in all_boards():
            made = make(board, names, Advice(advice))
            left_out += made.left_out
            if made.text is not None:
                files[f"dashboards/{profile.name}/{board.name}.json"] = made.text
    return Generated(files | FILES, tuple(left_out))
