"""One hop in detail: its distribution, its phases, its routes."""

from collections.abc import Sequence

from meshslo.dashboards.grafana.board import Advice, Board, Panel, Query, by_hop, reading, tail
from meshslo.dashboards.grafana.names import Names


def _quantiles(names: Names, _advice: Advice) -> Sequence[Query]:
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
        Panel(
            "Calls above the top bucket",
            "Share of calls longer than the histogram can tell. Above 1 % the p99 beside is a lower bound.",
            lambda names, _: [by_hop(names.beyond("total"))],
            "percentunit",
        ),
        Panel(
            "Durations",
            "Calls a second by duration of the whole call, of all hops chosen together. A wall at one height is a timeout.",
            lambda names, _: [Query(names.buckets("total"), "{{le}}", exemplar=True, unit=names.edge_unit("total"))],
            "s",
            kind="heatmap",
            width=24,
        ),
        Panel(
            "Cut or given up",
            "Share of calls that are only known to take longer than what was seen. Above 1 % the p99 is a lower bound.",
            lambda names, _: [by_hop(names.share(("timeout", "cancelled")))],
            "percentunit",
        ),
        Panel(
            "Mean of the whole call",
            "Seconds; far above the p50 where a few calls take very long.",
            lambda names, _: [by_hop(names.mean("total"))],
            "s",
        ),
        Panel(
            "p99 to the first byte",
            f"Seconds to the response headers. A server may send headers at once and think afterwards. {reading()}",
            lambda names, _: tail(names, "first_byte"),
            "s",
        ),
        Panel(
            "First byte above the top bucket",
            "Share of calls whose headers took longer than the histogram can tell.",
            lambda names, _: [by_hop(names.beyond("first_byte"))],
            "percentunit",
        ),
        Panel(
            "p95 by route",
            f"Seconds to the last byte of each route. {reading(0.95)}",
            lambda names, _: tail(names, "total", "route", q=0.95),
            "s",
        ),
        Panel(
            "Calls above the top bucket by route",
            "Share of calls longer than the histogram can tell. Above 5 % the p95 beside is a lower bound.",
            lambda names, _: [Query(names.beyond("total", "route"), "{{hop}} {{route}} ({{vantage}})")],
            "percentunit",
        ),
        Panel(
            "Calls by route",
            "Calls a second of each route.",
            lambda names, _: [Query(names.calls("route"), "{{hop}} {{route}} ({{vantage}})")],
            "reqps",
            width=24,
        ),
    ),
)
