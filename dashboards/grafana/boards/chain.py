"""The whole chain at a glance: which hop is slow, which one fails, how sure that is."""

from collections.abc import Sequence

from meshslo.dashboards.grafana.board import Advice, Board, Panel, Query
from meshslo.dashboards.grafana.expressions import RANGE, Expressions
from meshslo.dashboards.grafana.panels import NOT_WELL, by_hop, share, slow


def _table(names: Expressions, _advice: Advice) -> Sequence[Query]:
    quantiles = [Query(names.quantile(q, "total", window=RANGE), f"p{q * 100:g}", unit="s") for q in (0.5, 0.95, 0.99)]
    return [
        Query(names.calls(window=RANGE), "calls/s", unit="reqps"),
        Query(names.counted("total"), "calls timed"),
        *quantiles,
        Query(names.beyond("total", window=RANGE), "above top bucket", unit="percentunit", warn_above=0.01),
    ]


BOARD = Board(
    name="chain",
    title="Chain",
    about="Every hop of the chain: traffic, how calls end, how long they take. Quantiles of hops do not add up to the chain's.",
    panels=(
        Panel(
            "Hops in this window",
            "One row a hop. A quantile of too few calls is left empty. It is at least what it says where as many calls lie "
            "above the top bucket: 1 % (coloured) for the p99, 5 % for the p95.",
            _table,
            "short",
            kind="table",
            width=24,
        ),
        *slow("total"),
        Panel(
            "Calls",
            "Calls a second of each hop; a retry is a call where the caller's side counts attempts.",
            lambda names, _: [by_hop(names.calls())],
            "reqps",
        ),
        share(
            "Calls that were not answered well",
            "Share of calls that failed, were cut by a timer, given up by the caller, or never executed.",
            NOT_WELL,
        ),
        Panel(
            "How calls end",
            "Calls a second by outcome; a cut stream counts as timeout even where its status was 200.",
            lambda names, _: [Query(names.outcomes(), "{{hop}} {{outcome}}")],
            "reqps",
            kind="stacked",
            width=24,
        ),
    ),
)
