"""Streams: the first token, the longest silence, what timers cut."""

from meshslo.dashboards.grafana.board import Board, Panel, Query, by_hop, reading, tail

BOARD = Board(
    name="streams",
    title="Streams",
    about="Streamed answers: how long the first token takes, how long a stream is silent, how many a timer cuts. Dashed lines "
    "are settings: recommended ones, and those deployed.",
    panels=(
        Panel(
            "p99 to the first token",
            f"Seconds to the first chunk with content, with its timeouts. {reading()}",
            lambda names, advice: [*tail(names, "first_token"), *advice.lines(names, "first_token_timeout")],
            "s",
        ),
        Panel(
            "First tokens above the top bucket",
            "Share of streams whose first token took longer than the histogram can tell.",
            lambda names, _: [by_hop(names.beyond("first_token"))],
            "percentunit",
        ),
        Panel(
            "p99 of the longest silence",
            f"Longest seconds between chunks, and since the last one where a stream was cut; with idle timeouts. {reading()}",
            lambda names, advice: [*tail(names, "max_gap"), *advice.lines(names, "idle_gap_timeout")],
            "s",
        ),
        Panel(
            "Silences above the top bucket",
            "Share of streams whose longest silence was longer than the histogram can tell.",
            lambda names, _: [by_hop(names.beyond("max_gap"))],
            "percentunit",
        ),
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
