"""Resilience: calls in progress, what breakers turn away, pods that are out."""

from meshslo.dashboards.grafana.board import Board, Panel
from meshslo.dashboards.grafana.panels import by_hop

BOARD = Board(
    name="resilience",
    title="Resilience",
    about="How many calls are in progress, whether breakers are open and what they turned away, which pods are out. Dashed "
    "lines are limits of one client proxy, from the recommendations that the dashboards were made with; the other lines are of "
    "all proxies together.",
    panels=(
        Panel(
            "Calls in progress, on average",
            "By Little's law: the seconds that calls took, a second. A call counts when it has ended.",
            lambda names, _: [by_hop(names.in_progress())],
            "short",
        ),
        Panel(
            "Calls in progress now",
            "As proxies or servers count them at this moment, all of them together.",
            lambda names, advice: [by_hop(names.gauge("active")), *advice.lines(names, "max_concurrent_requests")],
            "short",
        ),
        Panel(
            "Calls that wait",
            "For a connection (Envoy), or for room in a batch (vLLM).",
            lambda names, _: [by_hop(names.gauge("waiting"))],
            "short",
        ),
        Panel(
            "Breakers that are open",
            "Proxies whose limit on calls is reached: what comes now is refused at once.",
            lambda names, _: [by_hop(names.gauge("breaker_open"))],
            "short",
        ),
        Panel(
            "Turned away",
            "Calls a second that a circuit breaker did not let through.",
            lambda names, _: [by_hop(names.events("overflows"))],
            "reqps",
        ),
        Panel(
            "Pods that are out",
            "Ejected now, as each proxy counts for itself, all proxies together.",
            lambda names, _: [by_hop(names.gauge("ejected"))],
            "short",
        ),
        Panel(
            "Ejections",
            "Pods a second that outlier detection took out.",
            lambda names, _: [by_hop(names.events("ejections"))],
            "ops",
        ),
    ),
)
