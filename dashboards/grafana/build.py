"""Turns a board and a profile into Grafana's JSON, and says which panels the profile cannot fill."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from .board import Advice, Board, Panel, Query
from .datasources import Datasource, Filter
from .defaults import COLUMNS, HEIGHT, Surroundings, note, placed
from .expressions import CannotExpressError, Expressions

_MAX_UID: Final = 40
"""Grafana's own limit."""

_VARIABLE_NOTE: Final = "Empty where the metrics do not have the label; everything is shown then."


@dataclass(frozen=True)
class LeftOut:
    """A panel that a profile has no metric or label for, and why."""

    profile: str
    board: str
    panel: str
    reason: str


@dataclass(frozen=True)
class Made:
    """A dashboard's JSON, None where no panel of it can be filled; and what was left out of it."""

    text: str | None
    left_out: tuple[LeftOut, ...]


def uid_of(profile: str, board: str) -> str:
    """The dashboard's stable identity, which addresses and links use.

    >>> uid_of("istio", "chain")
    'meshslo-istio-chain'
    """
    uid = f"meshslo-{profile}-{board}"
    # A digest keeps what is cut off from making two names one.
    return uid if len(uid) <= _MAX_UID else f"{uid[: _MAX_UID - 9]}-{hashlib.sha256(uid.encode()).hexdigest()[:8]}"


def make(board: Board, names: Expressions, advice: Advice) -> Made:
    """The dashboard `board` from the names of a profile."""
    filled: list[tuple[Panel, Sequence[Query]]] = []
    left_out: list[LeftOut] = []
    for panel in board.panels:
        try:
            filled.append((panel, panel.ask(names, advice)))
        except CannotExpressError as reason:
            left_out.append(LeftOut(names.name, board.name, panel.title, str(reason)))
    text = _json(board, names, filled, left_out) if filled else None
    return Made(text, tuple(left_out))


def _json(
    board: Board, names: Expressions, filled: Sequence[tuple[Panel, Sequence[Query]]], left_out: Sequence[LeftOut]
) -> str:
    built = _frame(board, names)
    places = _places([panel for panel, _ in filled])
    around = Surroundings(names.datasource, _hop_link(names) if board.name != "hop" else None)
    for number, ((panel, queries), at) in enumerate(zip(filled, places, strict=True), 1):
        built.with_panel(placed(panel, queries, at, around).id(number))
    below = dashboard.GridPos(x=0, y=max(at.y for at in places) + HEIGHT, w=COLUMNS, h=HEIGHT)
    built.with_panel(note("What these metrics cannot say", _limits(names, left_out), below).id(len(filled) + 1))
    return f"{json.dumps(built.build(), cls=JSONEncoder, indent=2, ensure_ascii=False)}\n"


def _frame(board: Board, names: Expressions) -> dashboards.Dashboard:
    """The dashboard without its panels."""
    tag = f"meshslo-{names.name}"
    built = dashboards.Dashboard(f"{board.title} ({names.name})").uid(uid_of(names.name, board.name))
    built.description(f"{board.about} From {names.about}.").tags(["meshslo", tag])
    built.time("now-6h", "now").refresh("1m").timezone("browser").tooltip(dashboard.DashboardCursorSync.CROSSHAIR).editable()
    source = names.datasource
    built.with_variable(dashboards.DatasourceVariable("datasource").label(source.label).type(source.plugin))
    for variable, value in names.texts.items():
        built.with_variable(dashboards.TextBoxVariable(variable).label(variable.capitalize()).default_value(value))
    for one in names.filters:
        built.with_variable(_variable(one, source))
    built.annotation(_deployments())
    return built.link(
        dashboards.DashboardLink("Other dashboards")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([tag])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )


def _variable(one: Filter, source: Datasource) -> dashboards.QueryVariable:
    built = (
        dashboards.QueryVariable(one.variable)
        .label(one.variable.capitalize())
        .description(_VARIABLE_NOTE)
        .datasource(source.ref)
        .query(source.values(one))
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(dashboard.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )
    if one.computed:
        built.regex(f'/{one.label}="([^"]+)"/')
    return built if source.every is None else built.all_value(source.every)


def _deployments() -> dashboards.AnnotationQuery:
    """Grafana's own annotations with the tag `deployment`, which a delivery pipeline posts to its HTTP API."""
    target = dashboards.AnnotationTarget().type("tags").tags(["deployment"]).limit(100).match_any(False)
    own = dashboard.DataSourceRef(type_val="grafana", uid="-- Grafana --")
    return dashboards.AnnotationQuery().name("Deployments").datasource(own).enable(True).icon_color("purple").target(target)


def _places(panels: Sequence[Panel]) -> list[dashboard.GridPos]:
    """Left to right, a new line where one is full."""
    x = y = 0
    places = []
    for panel in panels:
        if x + panel.width > COLUMNS:
            x, y = 0, y + HEIGHT
        places.append(dashboard.GridPos(x=x, y=y, w=panel.width, h=HEIGHT))
        x += panel.width
    return places


def _hop_link(names: Expressions) -> str | None:
    """The address of the hop's dashboard, where the profile has a variable for hops."""
    if not any(one.variable == "hop" for one in names.filters):
        return None
    return f"/d/{uid_of(names.name, 'hop')}?${{__url_time_range}}"


def _limits(names: Expressions, left_out: Sequence[LeftOut]) -> str:
    told = [f"* {sentence}." for sentence in names.notes]
    told += [f"* Not shown: *{one.panel}*, since {one.reason}." for one in left_out]
    return "\n".join(told or ["* Every panel of this dashboard could be made from these metrics."])
