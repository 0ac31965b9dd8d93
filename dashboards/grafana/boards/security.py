"""Mesh security: which calls are encrypted, and who the two sides proved to be."""

from meshslo.dashboards.grafana.board import Board, Panel, Query
from meshslo.dashboards.grafana.panels import by_hop

BOARD = Board(
    name="security",
    title="Mesh security",
    about="Which calls are known to be under mutual TLS, and the identities that certificates proved; what goes to services "
    "outside the mesh has neither.",
    panels=(
        Panel(
            "Known to be under mutual TLS",
            "Share of calls. What a proxy cannot tell (Istio: the caller's side) counts as not known.",
            lambda names, _: [by_hop(names.encrypted())],
            "percentunit",
            width=24,
        ),
        Panel(
            "Calls by the caller's identity",
            "Calls a second; without an identity the caller has proved nothing.",
            lambda names, _: [Query(names.identities("caller_identity"), "{{hop}} from {{caller_identity}}")],
            "reqps",
            kind="stacked",
        ),
        Panel(
            "Calls by the callee's identity",
            "Calls a second; without an identity it is not known who answered, as with a host outside the mesh.",
            lambda names, _: [Query(names.identities("callee_identity"), "{{hop}} to {{callee_identity}}")],
            "reqps",
            kind="stacked",
        ),
    ),
)
