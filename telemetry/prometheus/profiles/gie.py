"""Gateway API inference extension. Source: kubernetes-sigs/gateway-api-inference-extension 1.4.0, pkg/epp/metrics."""

from meshslo.telemetry.prometheus.profile import Histogram, Profile

_EDGES = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60),
    *(120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600),
)

PROFILE = Profile(
    name="gie",
    about="endpoint pickers of the Gateway API inference extension",
    labels={
        "callee": ("inference_pool", "service", "app", "job"),
        "namespace": ("namespace",),
        "model": ("model_name", "target_model_name"),
    },
    histograms=(
        Histogram(
            metric="inference_objective_request_duration_seconds",
            also=("inference_model_request_duration_seconds",),
            unit="s",
            phase="total",
            edges=_EDGES,
            fixed={"reporter": "gateway"},
        ),
        Histogram(
            metric="inference_objective_request_ttft_seconds",
            also=("inference_model_request_ttft_seconds",),
            unit="s",
            phase="first_token",
            edges=_EDGES,
            fixed={"reporter": "gateway"},
        ),
    ),
    notes=("the inference extension's errors are counted by code and not by request: here every timed call is taken as ok",),
)
