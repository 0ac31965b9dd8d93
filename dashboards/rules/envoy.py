"""Envoy's own statistics of its upstream clusters, as a bare proxy exports them; names and edges are the profile's `envoy`."""

from typing import Final

from meshslo.telemetry.prometheus.profiles.envoy import PROFILE

from . import Durations, Producer, Retries

_DURATION: Final = PROFILE.histograms[0]

RETRIES: Final = Retries(
    "envoy_cluster_upstream_rq_retry",
    attempts="envoy_cluster_upstream_rq_total",
    refused="envoy_cluster_upstream_rq_retry_overflow",
    by=("app", "envoy_cluster_name"),
    match=(_DURATION.match,),
)

PRODUCER = Producer(
    name="envoy",
    calls="envoy_cluster_upstream_rq",
    durations={"total": Durations(_DURATION.metric, _DURATION.edges, unit_s=0.001, is_seen_by_all=True)},
    labels={"caller": "app", "callee": "envoy_cluster_name"},
    by=("caller", "callee"),
    # A cluster is called as its service, or as Istio calls it.
    shapes={"callee": r"{}|outbound\|\d*\|[^|]*\|{}\..*"},
    vantages={"proxy_out": _DURATION.match},
    outcomes=PROFILE.counters[0].outcomes or PROFILE.outcomes,
    retries=RETRIES,
    cut_streams="envoy_cluster_upstream_rq_timeout",
    notes=(
        "Envoy counts the status at the headers: a stream that breaks later is among the 200s, so success looks better here.",
        "upstream_rq_time leaves out every call that was cut or reset: these are the survivors' durations.",
        "Cut streams are those that the route's timeout ended; what idle timers end is counted by listener, not by cluster.",
        "Which proxy it is, is a label of the scrape configuration: app here; --label caller=job takes another.",
    ),
)
