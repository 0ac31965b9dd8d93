"""Metrics of the GenAI semantic conventions. Source: semantic-conventions 1.41.1, docs/gen-ai/gen-ai-metrics.md."""

from meshslo.telemetry.prometheus.profile import Histogram, Outcomes, Profile

DURATION = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

_SERVICE = ("service_name", "exported_job", "app", "job")
_CLIENT = {"caller": _SERVICE, "callee": ("server_address", "gen_ai_provider_name", "gen_ai_system")}
_SERVER = {"callee": _SERVICE}
# Envoy AI Gateway uses the same names; its series have this label, and a profile of their own.
NOT_A_GATEWAY = 'gen_ai_original_model=""'

OUTCOMES = Outcomes(
    # error.type is a status, or the name of an exception.
    words={
        "error_type": {
            "429": "rejected",
            "RateLimitError": "rejected",
            "408": "timeout",
            "504": "timeout",
            "timeout": "timeout",
            "TimeoutError": "timeout",
            "APITimeoutError": "timeout",
            "ReadTimeout": "timeout",
            "DEADLINE_EXCEEDED": "timeout",
            "499": "cancelled",
            "CancelledError": "cancelled",
            "cancelled": "cancelled",
        }
    },
    present={"error_type": "error"},
    otherwise="ok",
)

PROFILE = Profile(
    name="genai",
    about="services instrumented by the GenAI semantic conventions",
    labels={
        "namespace": ("service_namespace", "namespace"),
        "model": ("gen_ai_request_model", "gen_ai_response_model"),
        "provider": ("gen_ai_provider_name", "gen_ai_system"),
        "operation": ("gen_ai_operation_name",),
        "tenant": ("tenant_id", "tenant"),
        "version": ("service_version",),
    },
    outcomes=OUTCOMES,
    histograms=(
        Histogram(
            metric="gen_ai_client_operation_duration_seconds",
            also=("gen_ai.client.operation.duration", "gen_ai_client_operation_duration"),
            unit="s",
            phase="total",
            edges=DURATION,
            labels=_CLIENT,
            fixed={"reporter": "client"},
        ),
        Histogram(
            metric="gen_ai_client_operation_time_to_first_chunk_seconds",
            also=("gen_ai.client.operation.time_to_first_chunk",),
            unit="s",
            phase="first_token",
            edges=DURATION,
            labels=_CLIENT,
            fixed={"reporter": "client"},
        ),
        Histogram(
            metric="gen_ai_server_request_duration_seconds",
            also=("gen_ai.server.request.duration",),
            unit="s",
            phase="total",
            edges=DURATION,
            match=NOT_A_GATEWAY,
            labels=_SERVER,
            fixed={"reporter": "server"},
        ),
        Histogram(
            metric="gen_ai_server_time_to_first_token_seconds",
            also=("gen_ai.server.time_to_first_token",),
            unit="s",
            phase="first_token",
            edges=FIRST_TOKEN,
            match=NOT_A_GATEWAY,
            labels=_SERVER,
            fixed={"reporter": "server"},
        ),
    ),
    notes=(
        (
            "GenAI metrics mix streaming and other calls in one duration, and count the time to the first token of successful "
            "answers only"
        ),
    ),
)
