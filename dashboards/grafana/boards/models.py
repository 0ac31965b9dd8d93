"""Models and tenants: who waits for what, and who uses how much."""

from meshslo.dashboards.grafana.board import Board, Panel, Query, reading, tail


def _for(key: str, what: str) -> tuple[Panel, ...]:
    """The panels of one key; `what` names it in titles."""
    legend = f"{{{{hop}}}} {{{{{key}}}}} ({{{{vantage}}}})"
    return (
        Panel(
            f"p95 of the whole call by {what}",
            f"Seconds to the last byte. {reading(0.95)}",
            lambda names, _: tail(names, "total", key, q=0.95),
            "s",
        ),
        Panel(
            f"Calls above the top bucket by {what}",
            "Share of calls longer than the histogram can tell. Above 5 % the p95 beside is a lower bound.",
            lambda names, _: [Query(names.beyond("total", key), legend)],
            "percentunit",
        ),
        Panel(
            f"p95 to the first token by {what}",
            f"Seconds to the first chunk with content. {reading(0.95)}",
            lambda names, _: tail(names, "first_token", key, q=0.95),
            "s",
        ),
        Panel(
            f"Not answered well by {what}",
            "Share of calls that failed, were cut by a timer, given up by the caller, or never executed.",
            lambda names, _: [Query(names.share(("error", "timeout", "cancelled", "rejected"), key), legend)],
            "percentunit",
        ),
        Panel(
            f"Calls by {what}",
            "Calls a second.",
            lambda names, _: [Query(names.calls(key), legend)],
            "reqps",
        ),
        Panel(
            f"Tokens by {what}",
            "Tokens a second that calls read and wrote; those of cut streams were paid for too.",
            lambda names, _: [
                Query(names.tokens("input", key), f"input {legend}"),
                Query(names.tokens("output", key), f"output {legend}"),
            ],
            "short",
        ),
    )


BOARD = Board(
    name="models",
    title="Models and tenants",
    about="Each model and each tenant: how long calls take, how they end, what they use. What comes beyond the limit of names "
    "is __other__; calls without a name have none.",
    panels=(*_for("model", "model"), *_for("tenant", "tenant")),
)
