"""Envoy's own statistics. Source: envoyproxy/envoy, docs/root/configuration/upstream/cluster_manager/cluster_stats.rst."""

from meshslo.telemetry.prometheus.profile import Counter, Histogram, Label, Outcomes, Profile

_EDGES = (
    *(0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000),
    *(30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000),
)
_PROXY = ("app", "service_name", "service", "workload", "job")
"""Labels of the scrape configuration that name whose proxy it is."""
_CLUSTER = (
    # Istio's `outbound|80|v1|reviews.default.svc.cluster.local` is `reviews`; of hosts outside it is the whole name.
    Label(label="envoy_cluster_name", pattern=r"^outbound\|\d*\|[^|]*\|([^.|]+)\.[^|]*\.svc\."),
    Label(label="envoy_cluster_name", pattern=r"^outbound\|\d*\|[^|]*\|([^|;]+)"),
    "envoy_cluster_name",
)
# Clusters that are the proxy's own affairs, or its own service.
_MATCH = (
    'envoy_cluster_name!~"inbound.*|Inbound.*|xds-grpc|sds-grpc|agent|prometheus_stats|zipkin|'
    'BlackHoleCluster|PassthroughCluster"'
)

PROFILE = Profile(
    name="envoy",
    about="Envoy proxies, clusters and listeners",
    labels={"caller": _PROXY, "callee": _CLUSTER, "namespace": ("namespace",), "version": ("version",)},
    histograms=(
        Histogram(
            metric="envoy_cluster_upstream_rq_time",
            unit="ms",
            phase="total",
            edges=_EDGES,
            match=_MATCH,
            fixed={"reporter": "source"},
        ),
        Histogram(
            metric="envoy_http_downstream_rq_time",
            unit="ms",
            phase="total",
            edges=_EDGES,
            match='envoy_http_conn_manager_prefix!="admin"',
            labels={"caller": (), "callee": _PROXY},
            fixed={"reporter": "destination", "caller": "ingress"},
        ),
    ),
    counters=(
        Counter(
            metric="envoy_cluster_upstream_rq",
            match=_MATCH,
            labels={"status_code": ("envoy_response_code",)},
            fixed={"reporter": "source"},
            outcomes=Outcomes(status="envoy_response_code"),
        ),
        Counter(
            metric="envoy_http_downstream_rq_xx",
            match='envoy_http_conn_manager_prefix!="admin"',
            labels={"caller": (), "callee": _PROXY},
            fixed={"reporter": "destination", "caller": "ingress"},
            outcomes=Outcomes(status="envoy_response_code_class"),
        ),
        Counter(metric="envoy_cluster_upstream_rq_retry", measure="retries", match=_MATCH),
        Counter(metric="envoy_cluster_upstream_rq_retry_success", measure="retry_successes", match=_MATCH),
        Counter(metric="envoy_cluster_upstream_rq_retry_overflow", measure="retries_refused", match=_MATCH),
        Counter(metric="envoy_cluster_upstream_rq_retry_limit_exceeded", measure="retries_refused", match=_MATCH),
        Counter(metric="envoy_cluster_upstream_rq_timeout", measure="timeouts", match=_MATCH),
        Counter(metric="envoy_cluster_upstream_rq_per_try_timeout", measure="timeouts", match=_MATCH),
        Counter(metric="envoy_cluster_upstream_rq_pending_overflow", measure="overflows", match=_MATCH),
        Counter(metric="envoy_cluster_outlier_detection_ejections_enforced_total", measure="ejections", match=_MATCH),
    ),
    notes=(
        (
            "Envoy's upstream_rq_time leaves out every call that timed out or was reset: its percentiles are the "
            "survivors', and become better when a timeout is tightened"
        ),
        "Envoy counts the status at the headers: a stream that a timer cut later is among the 200s",
    ),
)
