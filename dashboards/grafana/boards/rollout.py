"""Rollout: each version beside the others: calls, failures, how long they take."""

from meshslo.dashboards.grafana.board import Board, Panel, Query
from meshslo.dashboards.grafana.panels import NOT_WELL, legend, share, slow

BOARD = Board(
    name="rollout",
    title="Rollout by version",
    about="Each version of a callee beside the others, all calls together, whatever their model and prompt. Whether one is "
    "surely worse, or may have more traffic, `meshslo canary` says.",
    panels=(
        Panel(
            "Calls by version",
            "Calls a second.",
            lambda names, _: [Query(names.calls("version"), legend("version"))],
            "reqps",
            kind="stacked",
        ),
        share(
            "Not answered well by version",
            "Share of calls that failed, were cut by a timer, given up by the caller, or never executed.",
            NOT_WELL,
            "version",
        ),
        *slow("total", "version", q=0.95),
        *slow("first_token", "version", q=0.95),
    ),
)
