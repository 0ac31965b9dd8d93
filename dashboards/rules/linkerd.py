"""Linkerd's outbound proxies, by the route that policy gives a call; names and edges are those of the profile `linkerd`."""

from typing import Final

from meshslo.telemetry.prometheus.profiles.linkerd import PROFILE

from . import Durations, Producer, Retries

_DURATION: Final = next(each for each in PROFILE.histograms if each.phase == "total")
_CALLS: Final = next(each for each in PROFILE.counters if each.metric == "outbound_http_route_request_statuses_total")

PRODUCER = Producer(
    name="linkerd",
    calls=_CALLS.metric,
    durations={"total": Durations(_DURATION.metric, _DURATION.edges, is_seen_by_all=True)},
    labels={"caller": "deployment", "callee": "parent_name", "route": "route_name"},
    by=("caller", "callee", "route"),
    vantages={"proxy_out": ""},
    outcomes=_CALLS.outcomes or PROFILE.outcomes,
    retries=Retries(
        "outbound_http_route_retry_requests_total",
        attempts="outbound_http_route_backend_requests_total",
        refused="outbound_http_route_retry_overflow_total",
        by=("deployment", "parent_name", "route_name"),
    ),
    notes=(
        "HTTP routes alone: gRPC routes have metrics of their own (outbound_grpc_route_...).",
        "The histogram does not say how a call ended: one that failed fast counts as fast. It ends at a bucket of 10 s.",
        "A callee is the Service that was asked for (parent_name); deployment is a label that linkerd-viz's scrape sets.",
    ),
)
