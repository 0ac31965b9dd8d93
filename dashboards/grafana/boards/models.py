"""Models and tenants: who waits for what, and who uses how much."""

from meshslo.dashboards.grafana.board import Board, Panel, Query
from meshslo.dashboards.grafana.panels import NOT_WELL, legend, share, slow


def _uses(key: str) -> tuple[Panel, ...]:
    """How the calls of each model or tenant end, and what they use."""
    return (
        share(
            f"Not answered well by {key}",
            "Share of calls that failed, were cut by a timer, given up by the caller, or never executed.",
            NOT_WELL,
            key,
        ),
        Panel(
            f"Calls by {key}",
            "Calls a second.",
            lambda names, _: [Query(names.calls(key), legend(key))],
            "reqps",
        ),
        Panel(
            f"Tokens by {key}",
            "Tokens a second that calls read and wrote; those of cut streams were paid for too.",
            lambda names, _: [
                Query(names.tokens("input", key), f"input {legend(key)}"),
                Query(names.tokens("output", key), f"output {legend(key)}"),
            ],
            "short",
            width=24,
        ),
    )


BOARD = Board(
    name="models",
    title="Models and tenants",
    about="Each model and each tenant: how long calls take, how they end, what they use. What comes beyond the limit of names "
    "is __other__; calls without a name have none.",
    panels=tuple(
        panel
        for key in ("model", "tenant")
        for panel in (*slow("total", key, q=0.95), *slow("first_token", key, q=0.95), *_uses(key))
    ),
)
