"""vLLM's own metrics. Source: vllm-project/vllm, vllm/v1/metrics/loggers.py and buckets.py."""

from meshslo.telemetry.prometheus.profile import Counter, Histogram, Outcomes, Profile

_REQUEST = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_FIRST_TOKEN = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560),
)

# Scrapers rename: the colon may be replaced, KServe sets its own prefix.

PROFILE = Profile(
    name="vllm",
    about="vLLM inference servers",
    labels={
        "callee": ("service", "app", "deployment", "job"),
        "namespace": ("namespace",),
        "model": ("model_name",),
    },
    histograms=(
        Histogram(
            metric="vllm:e2e_request_latency_seconds",
            also=("vllm_e2e_request_latency_seconds", "kserve_vllm:e2e_request_latency_seconds"),
            unit="s",
            phase="total",
            edges=_REQUEST,
            fixed={"reporter": "server"},
        ),
        Histogram(
            metric="vllm:time_to_first_token_seconds",
            also=("vllm_time_to_first_token_seconds", "kserve_vllm:time_to_first_token_seconds"),
            unit="s",
            phase="first_token",
            edges=_FIRST_TOKEN,
            fixed={"reporter": "server"},
        ),
    ),
    counters=(
        Counter(
            metric="vllm:request_success_total",
            also=("vllm_request_success_total", "kserve_vllm:request_success_total"),
            fixed={"reporter": "server"},
            outcomes=Outcomes(
                words={
                    "finished_reason": {
                        "stop": "ok",
                        "length": "ok",
                        "repetition": "ok",
                        "abort": "cancelled",
                        "error": "error",
                    }
                }
            ),
        ),
    ),
    notes=(
        (
            "vLLM leaves every aborted request out of its durations and mostly out of its counts: what a timeout "
            "in front of it cuts is not there, so its p99 becomes better when the timeout is tightened"
        ),
        "vLLM's time between tokens is one sample a step, not the longest silence of a stream: no idle timeout follows from it",
    ),
)
