"""Linkerd's proxy metrics. Source: linkerd/website, proxy-metrics.md; linkerd/linkerd2-proxy, metrics/src/latency.rs."""

from meshslo.telemetry.prometheus.profile import Counter, Histogram, Label, Outcomes, Profile

_TTFB = (
    *(1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500),
    *(1000, 2000, 3000, 4000, 5000, 10_000, 20_000, 30_000, 40_000, 50_000),
)
_OUTBOUND = {
    # Labels of the pod that the proxy stands beside come from the scrape configuration of linkerd-viz.
    "caller": ("deployment", "workload", "app", "service", "job"),
    "callee": ("dst_deployment", "dst_service", Label(label="authority", pattern=r"^([^.:]+)")),
    "namespace": ("dst_namespace",),
    "callee_identity": ("server_id", "dst_serviceaccount"),
}
_INBOUND = {
    "caller": (Label(label="client_id", pattern=r"^([^.]+)\."),),
    "callee": ("deployment", "workload", "app", "service", "job"),
    "namespace": ("namespace",),
    "caller_identity": ("client_id",),
}
_ROUTE = {
    "caller": ("deployment", "workload", "app", "service", "job"),
    "callee": ("backend_name", "parent_name", Label(label="hostname", pattern=r"^([^.:]+)")),
    "namespace": ("backend_namespace", "parent_namespace"),
    "route": ("route_name",),
}
_ERRORS = {
    "FAIL_FAST": "rejected",
    "LOAD_SHED": "rejected",
    "REFUSED": "rejected",
    "REQUEST_TIMEOUT": "timeout",
    "RESPONSE_HEADERS_TIMEOUT": "timeout",
    "RESPONSE_STREAM_TIMEOUT": "timeout",
    "IDLE_TIMEOUT": "timeout",
    "CANCEL": "cancelled",
    "ENHANCE_YOUR_CALM": "error",
    "RESET": "error",
    "GO_AWAY": "error",
    "IO": "error",
    "UNKNOWN": "error",
}

PROFILE = Profile(
    name="linkerd",
    about="Linkerd proxies",
    labels={
        "version": ("version",),
        "mtls": (Label(label="tls", values={"true": "true", "no_identity": "false", "disabled": "false"}),),
        "tenant": ("tenant", "tenant_id"),
        "status_code": ("status_code", "http_status"),
    },
    # The histograms do not say how a call ended; `response_total` does.
    histograms=(
        Histogram(
            metric="outbound_http_route_request_duration_seconds",
            also=("outbound_grpc_route_request_duration_seconds",),
            unit="s",
            phase="total",
            edges=(0.05, 0.5, 1, 10),
            labels=_ROUTE,
            fixed={"reporter": "outbound"},
            outcomes=Outcomes(),
        ),
        Histogram(
            metric="outbound_http_route_backend_response_duration_seconds",
            also=("outbound_grpc_route_backend_response_duration_seconds",),
            unit="s",
            phase="total",
            edges=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 10),
            labels=_ROUTE,
            fixed={"reporter": "outbound"},
            outcomes=Outcomes(),
        ),
        Histogram(
            metric="response_latency_ms",
            unit="ms",
            phase="first_byte",
            edges=_TTFB,
            match='direction="outbound"',
            labels=_OUTBOUND,
            fixed={"reporter": "outbound"},
            outcomes=Outcomes(),
        ),
        Histogram(
            metric="response_latency_ms",
            unit="ms",
            phase="first_byte",
            edges=_TTFB,
            match='direction="inbound"',
            labels=_INBOUND,
            fixed={"reporter": "inbound"},
            outcomes=Outcomes(),
        ),
        Histogram(
            metric="inbound_http_request_duration_seconds",
            also=("inbound_grpc_request_duration_seconds",),
            unit="s",
            phase="total",
            edges=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 10),
            labels=_INBOUND,
            fixed={"reporter": "inbound"},
            outcomes=Outcomes(),
        ),
    ),
    outcomes=Outcomes(
        words={"error": _ERRORS},
        status="status_code",
        grpc="grpc_status_code",
    ),
    counters=(
        Counter(metric="response_total", match='direction="outbound"', labels=_OUTBOUND, fixed={"reporter": "outbound"}),
        Counter(metric="response_total", match='direction="inbound"', labels=_INBOUND, fixed={"reporter": "inbound"}),
        Counter(
            metric="outbound_http_route_request_statuses_total",
            labels=_ROUTE,
            fixed={"reporter": "outbound"},
            outcomes=Outcomes(words={"error": _ERRORS}, status="http_status"),
        ),
        Counter(metric="outbound_http_route_retry_requests_total", measure="retries", labels=_ROUTE),
        Counter(metric="outbound_http_route_retry_successes_total", measure="retry_successes", labels=_ROUTE),
        Counter(metric="outbound_http_route_retry_limit_exceeded_total", measure="retries_refused", labels=_ROUTE),
        Counter(metric="outbound_http_route_retry_overflow_total", measure="retries_refused", labels=_ROUTE),
    ),
    notes=(
        "Linkerd's response_latency_ms ends at the first data frame: it is the time to the first byte, not the whole call",
        "Linkerd's whole durations end at a bucket of 10 s: a longer stream is known to be longer than that, no better",
    ),
)
