"""Istio's standard metrics. Source: istio/istio.io, reference/config/metrics; edges: Envoy's defaults."""

from meshslo.telemetry.prometheus.profile import Histogram, Label, Outcomes, Profile

PROFILE = Profile(
    name="istio",
    about="Istio sidecars and waypoints",
    labels={
        "reporter": ("reporter",),
        "caller": ("source_canonical_service", "source_workload", "source_app"),
        "callee": ("destination_canonical_service", "destination_service_name", "destination_workload", "destination_app"),
        "namespace": ("destination_workload_namespace", "destination_service_namespace"),
        "cluster": ("destination_cluster",),
        "version": ("destination_canonical_revision", "destination_version"),
        "caller_identity": ("source_principal",),
        "callee_identity": ("destination_principal",),
        "mtls": (Label(label="connection_security_policy", values={"mutual_tls": "true", "none": "false"}),),
        "protocol": ("request_protocol",),
        # Not there by default: Telemetry API tagOverrides may add them.
        "route": ("route", "route_name", "request_operation", "destination_route"),
        "model": ("model", "request_model", "gen_ai_request_model"),
        "tenant": ("tenant", "tenant_id", "x_tenant_id"),
        "status_code": ("response_code",),
        "response_flags": ("response_flags",),
    },
    outcomes=Outcomes(flags="response_flags", status="response_code", grpc="grpc_response_status", otherwise="ok"),
    histograms=(
        Histogram(
            metric="istio_request_duration_milliseconds",
            unit="ms",
            phase="total",
            edges=(
                *(0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000),
                *(30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000),
            ),
        ),
    ),
    notes=(
        "Istio counts a call when its stream has ended, and the source's sidecar counts a call and all its retries once",
        "Istio's buckets are far apart above 10 s: a p99 of a 40 s stream is known to lie in 30 s to 60 s, no better",
    ),
)
