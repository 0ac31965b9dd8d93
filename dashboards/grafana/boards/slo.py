"""SLO and burn: what is left of each error budget, how fast it goes, which alerts fire. From the rules of `meshslo rules`."""

from collections.abc import Sequence

from meshslo.dashboards.grafana.board import Advice, Board, Panel, Query
from meshslo.dashboards.grafana.expressions import Expressions

LEFT = "meshslo:slo_budget_left:ratio"
"""A metric that every objective's rules record."""


def _table(names: Expressions, _advice: Advice) -> Sequence[Query]:
    return [
        Query(names.recorded(LEFT), "budget left", unit="percentunit", warn_below=0.0),
        Query(names.recorded("meshslo:slo_broken:ratio_window"), "broke it", unit="percentunit"),
        Query(names.recorded("meshslo:slo_budget:ratio"), "may break it", unit="percentunit"),
        Query(_burn(names, "1h"), "burn 1 h", unit="short", warn_above=1.0),
        Query(_burn(names, "6h"), "burn 6 h", unit="short", warn_above=1.0),
        Query(names.recorded("meshslo:slo_asked:increase6h"), "calls in 6 h", unit="short"),
    ]


def _burn(names: Expressions, window: str) -> str:
    """How many times as fast as the objective's window allows; both windows are in every table of burn windows."""
    return f"{names.recorded(f'meshslo:slo_broken:ratio{window}')} / {names.recorded('meshslo:slo_budget:ratio')}"


BOARD = Board(
    name="slo",
    title="SLO and burn",
    about="Objectives of meshslo.toml: what is left of each error budget, how fast it burns, which alerts fire. Needs the "
    "recording rules of `meshslo rules` in Prometheus; objectives judged call by call, with bounds, are `meshslo slo`.",
    panels=(
        Panel(
            "Objectives",
            "One row an objective. 100 % left is untouched, below 0 it is missed. At a burn of 1 the budget lasts exactly its "
            "window. Cells are coloured below 0 left and above a burn of 1.",
            _table,
            "short",
            kind="table",
            width=24,
        ),
        Panel(
            "Error budget left",
            "Share of the budget of the objective's own window, which rolls: bad calls leave it as they grow old.",
            lambda names, _: [Query(names.recorded(LEFT), "{{slo}} {{hop}}")],
            "percentunit",
            limit=0.0,
            may_fall_below_0=True,
        ),
        Panel(
            "Calls that broke it",
            "Calls in the last hour that broke the objective. Alerts need three: fewer are no rate.",
            lambda names, _: [Query(names.recorded("meshslo:slo_broken:increase1h"), "{{slo}} {{hop}}")],
            "short",
        ),
        Panel(
            "Burn over 1 h",
            "Times as fast as the window allows. Of 30 days: at 14.4 somebody is woken.",
            lambda names, _: [Query(_burn(names, "1h"), "{{slo}} {{hop}}")],
            "short",
            limit=1.0,
        ),
        Panel(
            "Burn over 6 h",
            "Times as fast as the window allows. Of 30 days: at 6 somebody is woken.",
            lambda names, _: [Query(_burn(names, "6h"), "{{slo}} {{hop}}")],
            "short",
            limit=1.0,
        ),
        Panel(
            "Alerts that fire",
            "Alerts of `meshslo rules`, those that need no objective too; each says which meshslo command to run.",
            lambda names, _: [Query(names.alerts(), "{{alertname}} {{slo}} {{hop}}")],
            "short",
            kind="stacked",
            width=24,
        ),
    ),
)
