"""LiteLLM's proxy. Source: BerriAI/litellm, litellm/types/integrations/prometheus.py."""

from meshslo.telemetry.prometheus.profile import Counter, Histogram, Outcomes, Profile

_EDGES = (
    *(0.005, 0.00625, 0.0125, 0.025, 0.05, 0.1, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7),
    *(7.5, 8, 8.5, 9, 9.5, 10, 15, 20, 25, 30, 60, 120, 180, 240, 300),
)

PROFILE = Profile(
    name="litellm",
    about="LiteLLM proxies",
    labels={
        "namespace": ("namespace",),
        "model": ("requested_model", "model_group", "model", "litellm_model_name"),
        "provider": ("api_provider",),
        "tenant": ("team_alias", "team", "end_user", "api_key_alias"),
        "route": ("route",),
    },
    histograms=(
        Histogram(
            metric="litellm_request_total_latency_metric",
            unit="s",
            phase="total",
            edges=_EDGES,
            fixed={"reporter": "server", "caller": "ingress", "callee": "litellm"},
        ),
        Histogram(
            metric="litellm_llm_api_latency_metric",
            unit="s",
            phase="total",
            edges=_EDGES,
            labels={"callee": ("api_provider", "litellm_model_name", "model")},
            fixed={"reporter": "client", "caller": "litellm"},
        ),
        Histogram(
            metric="litellm_llm_api_time_to_first_token_metric",
            unit="s",
            phase="first_token",
            edges=_EDGES,
            labels={"callee": ("api_provider", "litellm_model_name", "model")},
            fixed={"reporter": "client", "caller": "litellm"},
        ),
    ),
    counters=(
        Counter(
            metric="litellm_proxy_total_requests_metric_total",
            also=("litellm_proxy_total_requests_metric",),
            labels={"status_code": ("status_code",)},
            fixed={"reporter": "server", "caller": "ingress", "callee": "litellm"},
            outcomes=Outcomes(status="status_code"),
        ),
    ),
    notes=("LiteLLM's durations hold successful calls only; failures are counted, not timed",),
)
