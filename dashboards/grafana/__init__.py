"""Grafana dashboards, generated: one file a dashboard in `boards/`, each ending in `BOARD = Board(...)`.

own           what our collector exports, as a profile like those of the meshes in `telemetry.prometheus.profiles`
expressions   what a panel may ask for: it says "p99 of the first token" and writes no name
promql, views, names      the answers as PromQL, from a profile's names
cells         the answers as SQL, from rollups kept in ClickHouse
board, panels             what a board is made of, and panels that several have
datasources, defaults, build   how it becomes Grafana's JSON
provisioning  the files by which a Grafana finds it all

A source that lacks a metric or label leaves the panel out, and the reason is listed. The same input gives the same files.
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
from .cells import Cells
from .expressions import Expressions
from .names import Names
from .own import OWN
from .provisioning import provisioning

__all__ = ["OWN", "Board", "Generated", "LeftOut", "Query", "all_boards", "generate", "sources"]


@dataclass(frozen=True)
class Generated:
    """Files by their path below the output folder, and the panels that could not be made."""

    files: dict[str, str]
    left_out: tuple[LeftOut, ...]


def all_boards() -> list[Board]:
    """Every dashboard there is, in the order of their names."""
    return [cast("Board", member) for member in members(boards, "BOARD")]


def sources(names: Sequence[str], users: Sequence[Profile] = ()) -> list[Expressions]:
    """The profiles of these names, and `clickhouse`; or all where none is named: our own first.

    BadConfigError for a name that nothing has.
    """
    cells = Cells()
    asked = [name for name in names if name != cells.name]
    found = chosen(asked, [OWN, *users]) if asked else []
    if not names:
        found = [OWN, *(one for one in chosen((), users) if one.name != OWN.name)]
    return [*map(Names, found), *([cells] if cells.name in names or not names else [])]


def generate(of: Sequence[Expressions], advice: Recommendations | None = None) -> Generated:
    """Every dashboard from each source, and the provisioning files; with recommended values as lines."""
    files: dict[str, str] = {}
    left_out: list[LeftOut] = []
    for source in of:
        for board in all_boards():
            made = make(board, source, Advice(advice))
            left_out += made.left_out
            if made.text is not None:
                files[f"dashboards/{source.name}/{board.name}.json"] = made.text
    return Generated(files | provisioning(source.datasource.plugin for source in of), tuple(left_out))
