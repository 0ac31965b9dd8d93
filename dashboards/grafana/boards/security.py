"""Mesh security: which calls are encrypted, who the two sides proved to be, and which go to hosts outside."""

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
        ),
        Panel(
            "Callers that proved nothing",
            "Share of calls without an identity of the caller: whoever reaches the callee's port can make them.",
            lambda names, _: [by_hop(names.unproved())],
            "percentunit",
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
        Panel(
            "Calls to hosts outside the mesh",
            "Calls a second by caller and host. Istio calls every host that it does not know PassthroughCluster; Linkerd "
            "counts those that an EgressNetwork covers. Which are approved, `meshslo security` says.",
            lambda names, _: [Query(names.outside(), "{{hop}}")],
            "reqps",
            kind="stacked",
            width=24,
        ),
    ),
)
