"""Istio's standard metrics, as sidecars and waypoints export them; names and edges are those of the profile `istio`."""

from typing import Final

from meshslo.telemetry.prometheus.profiles.istio import PROFILE

from . import Durations, Producer
from .envoy import RETRIES

_DURATION: Final = PROFILE.histograms[0]

PRODUCER = Producer(
    name="istio",
    calls="istio_requests_total",
    durations={"total": Durations(_DURATION.metric, _DURATION.edges, unit_s=0.001)},
    labels={
        "caller": "source_canonical_service",
        "callee": "destination_canonical_service",
        # Not there by default: Telemetry API tagOverrides add them under these names.
        "route": "route",
        "model": "model",
        "tenant": "tenant",
    },
    by=("caller", "callee"),
    vantages={"proxy_out": 'reporter="source"', "proxy_in": 'reporter="destination"'},
    outcomes=PROFILE.outcomes,
    retries=RETRIES,
    notes=(
        "The source's sidecar counts a call and all its retries once: success here is what callers got.",
        "Retries show only where proxyStatsMatcher lets cluster.*.upstream_rq_total and cluster.*.upstream_rq_retry.* through:",
        "it is off by default.",
        "route, model and tenant are labels only where Telemetry API tagOverrides add them.",
    ),
)
