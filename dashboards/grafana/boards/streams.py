"""Streams: the first token, the longest silence, what timers cut."""

from meshslo.dashboards.grafana.board import Board, Panel, Query
from meshslo.dashboards.grafana.panels import by_hop, slow

BOARD = Board(
    name="streams",
    title="Streams",
    about="Streamed answers: how long the first token takes, how long a stream is silent, how many a timer cuts. Dashed lines "
    "are settings: recommended ones, and those deployed.",
    panels=(
        *slow("first_token", settings=("first_token_timeout",)),
        *slow("max_gap", settings=("idle_gap_timeout",)),
        Panel(
            "Cut by timers",
            "Streams, or calls where the metrics do not tell streams apart, that a timer cut, a second.",
            lambda names, _: [by_hop(names.events("timeouts"))],
            "reqps",
        ),
        Panel(
            "Share cut or given up",
            "Share of calls that a timer cut, and of those that the caller left.",
            lambda names, _: [
                Query(names.share(("timeout",)), "cut by a timer: {{hop}} ({{vantage}})"),
                Query(names.share(("cancelled",)), "given up: {{hop}} ({{vantage}})"),
            ],
            "percentunit",
        ),
        Panel(
            "Tokens written",
            "Output tokens a second; those of cut streams were paid for too.",
            lambda names, _: [by_hop(names.tokens("output"))],
            "short",
            width=24,
        ),
    ),
)
