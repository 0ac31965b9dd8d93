"""MS313: a limit of pending calls that refuses what it was meant to queue."""

from collections.abc import Iterator
from typing import Final

from meshslo.analysis.check.rule import Hit, Rule, Subject

FEW: Final = 1


def _find(subject: Subject) -> Iterator[Hit]:
    for cluster in subject.deployed.clusters:
        pending = cluster.settings.get("max_pending")
        if pending is not None and float(pending.value) <= FEW:
            message = (
                f"only {pending.value} call of {cluster.callee} may wait for a connection: the next is answered 503 at once"
            )
            yield Hit(pending.source, message)


RULE = Rule(
    code="MS313",
    name="pending-semantics",
    severity="warning",
    finds="A limit of one pending call or none (http1MaxPendingRequests, max_pending_requests, maxPendingRequests).",
    why="Pending are calls that wait for a connection, over HTTP/1.1 each of them for a while; beyond the limit of calls in "
    "progress nothing queues at all.",
    instead="some pending calls for each connection that may have to be opened, and the queue in the server",
    evidence="envoyproxy/envoy#16610, istio/istio#38425.",
    find=_find,
)
