"""One hop in detail: its distribution, its phases, its routes."""

from collections.abc import Sequence

from meshslo.dashboards.grafana.board import Advice, Board, Panel, Query
from meshslo.dashboards.grafana.expressions import Expressions
from meshslo.dashboards.grafana.panels import by_hop, legend, reading, share, slow, tail


def _quantiles(names: Expressions, _advice: Advice) -> Sequence[Query]:
    lower = [
        Query(names.quantile(q, "total"), f"p{q * 100:g} {{{{hop}}}} ({{{{vantage}}}})", exemplar=q == 0.95)
        for q in (0.5, 0.95)
    ]
    value, *bounds = tail(names, "total")
    return [*lower, Query(value.expr, f"p99 {value.legend}", exemplar=True), *bounds]


BOARD = Board(
    name="hop",
    title="Hop",
    about="One hop: pick it above. How its durations spread, which phase takes the time, which route is slow.",
    panels=(
        Panel(
            "Whole call: p50, p95, p99",
            f"Seconds to the last byte. Of the p99: {reading()}",
            _quantiles,
            "s",
        ),
        slow("total")[1],
        Panel(
            "Durations",
            "Calls a second by duration of the whole call, of all hops chosen together. A wall at one height is a timeout.",
            lambda names, _: [Query(names.buckets("total"), "{{le}}", exemplar=True, unit=names.edge_unit("total"))],
            "s",
            kind="heatmap",
            width=24,
        ),
        share(
            "Cut or given up",
            "Share of calls that are only known to take longer than what was seen. Above 1 % the p99 is a lower bound.",
            ("timeout", "cancelled"),
            limit=0.01,
        ),
        Panel(
            "Mean of the whole call",
            "Seconds; far above the p50 where a few calls take very long.",
            lambda names, _: [by_hop(names.mean("total"))],
            "s",
        ),
        *slow("first_byte"),
        *slow("total", "route", q=0.95),
        Panel(
            "Calls by route",
            "Calls a second of each route.",
            lambda names, _: [Query(names.calls("route"), legend("route"))],
            "reqps",
            width=24,
        ),
    ),
)
