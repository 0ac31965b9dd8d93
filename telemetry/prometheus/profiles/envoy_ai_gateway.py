"""Envoy AI Gateway. Source: envoyproxy/ai-gateway, internal/metrics/genai.go and metrics_impl.go."""

from meshslo.telemetry.prometheus.profile import Histogram, Label, Profile

from .genai import DURATION, FIRST_TOKEN, OUTCOMES

_MATCH = 'gen_ai_original_model!=""'
"""The label that tells its series from those of services with the same metrics."""

PROFILE = Profile(
    name="envoy_ai_gateway",
    about="Envoy AI Gateway",
    labels={
        "callee": ("gen_ai_provider_name", "gen_ai_system", Label(label="backend", pattern=r"([^/]+)$")),
        "namespace": ("namespace",),
        "model": ("gen_ai_request_model", "gen_ai_original_model"),
        "provider": ("gen_ai_provider_name", "gen_ai_system"),
        "operation": ("gen_ai_operation_name",),
        # Set by the gateway's own mapping of request headers to metric attributes.
        "tenant": ("tenant_id", "x_tenant_id", "tenant"),
    },
    outcomes=OUTCOMES,
    histograms=(
        Histogram(
            metric="gen_ai_server_request_duration_seconds",
            also=("gen_ai.server.request.duration",),
            unit="s",
            phase="total",
            edges=DURATION,
            match=_MATCH,
            fixed={"reporter": "gateway", "caller": "ai-gateway"},
        ),
        Histogram(
            metric="gen_ai_server_time_to_first_token_seconds",
            also=("gen_ai.server.time_to_first_token",),
            unit="s",
            phase="first_token",
            edges=(*FIRST_TOKEN, 15.0, 20.0, 30.0, 45.0, 60.0),
            match=_MATCH,
            fixed={"reporter": "gateway", "caller": "ai-gateway"},
        ),
    ),
    notes=("Envoy AI Gateway calls every failure _OTHER: a timeout cannot be told from another error",),
)
