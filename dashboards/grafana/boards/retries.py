"""Retries and timeouts: what is deployed, what is recommended, what it does to the traffic."""

from meshslo.dashboards.grafana.board import Board, Panel
from meshslo.dashboards.grafana.panels import by_hop, share, slow

BOARD = Board(
    name="retries",
    title="Retries and timeouts",
    about="What timers cut and what retries add. A p99 flat on a timeout is that timeout: the tail beyond it is hidden. "
    "Dashed lines are settings: recommended ones, and those deployed "
    "(from the recommendations that the dashboards were made with).",
    panels=(
        *slow("total", settings=("total_timeout",)),
        *slow("first_byte", settings=("per_try_timeout",)),
        share(
            "Ended by a timer",
            "Share of calls that a timer cut; each that would have succeeded is a false timeout.",
            ("timeout",),
        ),
        Panel(
            "Cut by timers",
            "Streams, or calls where the metrics do not tell streams apart, that a timer cut, a second.",
            lambda names, _: [by_hop(names.events("timeouts"))],
            "reqps",
        ),
        Panel(
            "Retries for each call, and retry budgets",
            "Retries by calls that were asked for; above the budget further ones are refused.",
            lambda names, advice: [by_hop(names.per_call("retries")), *advice.lines(names, "retry_budget_ratio")],
            "percentunit",
        ),
        Panel(
            "Amplification",
            "Calls made for each call asked for; along a chain it multiplies. 1 is no retries.",
            lambda names, _: [by_hop(names.amplification())],
            "short",
        ),
        Panel(
            "Retries",
            "Second and later attempts a second.",
            lambda names, _: [by_hop(names.events("retries"))],
            "reqps",
        ),
        Panel(
            "Retries that helped",
            "Retries a second that were answered.",
            lambda names, _: [by_hop(names.events("retry_successes"))],
            "reqps",
        ),
        Panel(
            "Retries refused",
            "Retries a second that a budget or a limit did not allow.",
            lambda names, _: [by_hop(names.events("retries_refused"))],
            "reqps",
        ),
    ),
)
