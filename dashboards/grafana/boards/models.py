"""Models and tenants: who waits for what, and who uses how much."""

from meshslo.dashboards.grafana.board import Board, Panel, Query, reading, tail


def _waits(key: str) -> tuple[Panel, ...]:
    """How long calls of each model or tenant take."""
    legend = _legend(key)
    return (
        Panel(
            f"p95 of the whole call by {key}",
            f"Seconds to the last byte. {reading(0.95)}",
            lambda names, _: tail(names, "total", key, q=0.95),
            "s",
        ),
        Panel(
            f"Calls above the top bucket by {key}",
            "Share of calls longer than the histogram can tell. Above 5 % the p95 beside is a lower bound.",
            lambda names, _: [Query(names.beyond("total", key), legend)],
            "percentunit",
        ),
        Panel(
            f"p95 to the first token by {key}",
            f"Seconds to the first chunk with content. {reading(0.95)}",
            lambda names, _: tail(names, "first_token", key, q=0.95),
            "s",
        ),
        Panel(
            f"First tokens above the top bucket by {key}",
            "Share of streams whose first token took longer than that. Above 5 % the p95 beside is a lower bound.",
            lambda names, _: [Query(names.beyond("first_token", key), legend)],
            "percentunit",
        ),
    )


def _uses(key: str) -> tuple[Panel, ...]:
    """How the calls of each model or tenant end, and what they use."""
    legend = _legend(key)
    return (
        Panel(
            f"Not answered well by {key}",
            "Share of calls that failed, were cut by a timer, given up by the caller, or never executed.",
            lambda names, _: [Query(names.share(("error", "timeout", "cancelled", "rejected"), key), legend)],
            "percentunit",
        ),
        Panel(
            f"Calls by {key}",
            "Calls a second.",
            lambda names, _: [Query(names.calls(key), legend)],
            "reqps",
        ),
        Panel(
            f"Tokens by {key}",
            "Tokens a second that calls read and wrote; those of cut streams were paid for too.",
            lambda names, _: [
                Query(names.tokens("input", key), f"input {legend}"),
                Query(names.tokens("output", key), f"output {legend}"),
            ],
            "short",
            width=24,
        ),
    )


def _legend(key: str) -> str:
    return f"{{{{hop}}}} {{{{{key}}}}} ({{{{vantage}}}})"


BOARD = Board(
    name="models",
    title="Models and tenants",
    about="Each model and each tenant: how long calls take, how they end, what they use. What comes beyond the limit of names "
    "is __other__; calls without a name have none.",
    panels=(*_waits("model"), *_uses("model"), *_waits("tenant"), *_uses("tenant")),
)
