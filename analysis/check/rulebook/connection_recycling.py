"""MS320: connections thrown away after a few calls."""

from collections.abc import Iterator
from typing import Final

from meshslo.analysis.check.rule import Hit, Rule, Subject

FEW: Final = 10


def _find(subject: Subject) -> Iterator[Hit]:
    for cluster in subject.deployed.clusters:
        limit = cluster.settings.get("max_requests_per_connection")
        if limit is not None and 0 < float(limit.value) < FEW:
            yield Hit(
                limit.source, f"a connection to {cluster.callee} is closed after {limit.value} calls: a handshake for each few"
            )


RULE = Rule(
    code="MS320",
    name="connection-recycling",
    severity="warning",
    finds="maxRequestsPerConnection below 10.",
    why="Connects come as fast as calls, each with a TLS handshake, and calls that race with the close are reset (UC).",
    instead="no such limit; for balance over HTTP/2, more subsets of connections or a least-request balancer",
    evidence="envoyproxy/envoy#8817, envoyproxy/envoy#10274.",
    find=_find,
)
