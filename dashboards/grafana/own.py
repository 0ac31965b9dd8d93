"""What meshslo's collector exports at /metrics, as a profile; and counters that no profile has a word for: tokens, ways out."""

from collections.abc import Mapping
from typing import Final, Literal

from meshslo.telemetry.prometheus.profile import Counter, Histogram, Label, Outcomes, Profile
from meshslo.telemetry.prometheus.profiles.envoy import PROFILE as ENVOY
from meshslo.telemetry.prometheus.profiles.genai import PROFILE as GENAI
from meshslo.telemetry.store.counted import EDGES_S, SECONDS_METRIC, counter_metric
from meshslo.telemetry.vocabulary import OUTCOMES, PHASES

Tokens = Literal["input", "output"]
Gauge = Literal["active", "waiting", "ejected", "breaker_open"]
GAUGE_WORDS: Final[Mapping[Gauge, str]] = {
    "active": "calls in progress",
    "waiting": "calls that wait",
    "ejected": "ejected pods",
    "breaker_open": "open breakers",
}

# A rejected call ends at once and a failed one ends early: neither says how long an answer takes. A call that was cut counts
# as ended when it was cut, so a quantile is a lower bound; the share of such calls stands beside it.
_ANSWERED: Final = 'outcome=~"ok|timeout|cancelled"'

OWN: Final = Profile(
    name="meshslo",
    about="calls that meshslo's collector has stored",
    labels={
        "reporter": ("vantage",),
        "caller": (Label(label="hop", pattern="^([^>]*)>"),),
        "callee": (Label(label="hop", pattern=">(.*)$"),),
        "route": ("route",),
        "model": ("model",),
        "tenant": ("tenant",),
    },
    outcomes=Outcomes(words={"outcome": {outcome: outcome for outcome in OUTCOMES}}),
    histograms=tuple(
        Histogram(metric=SECONDS_METRIC, unit="s", phase=phase, edges=EDGES_S, match=f'phase="{phase}",{_ANSWERED}')
        for phase in PHASES
    ),
    counters=(
        Counter(metric=counter_metric("calls")),
        Counter(metric=counter_metric("retries"), measure="retries"),
        Counter(metric=counter_metric("cut_streams"), measure="timeouts"),
    ),
    notes=(
        "Quantiles are of calls answered or cut; a cut call counts as ended when it was cut, so read them as at least",
        "One call is seen from up to four vantages: each hop is shown from the outermost there is, and the legend says which",
    ),
)

_GENAI_CLIENT: Final = GENAI.histograms[0].labels

TOKENS: Final[Mapping[str, Mapping[Tokens, Counter]]] = {
    "meshslo": {
        "input": Counter(metric=counter_metric("input_tokens")),
        "output": Counter(metric=counter_metric("output_tokens")),
    },
    # Source: vllm-project/vllm, vllm/v1/metrics/loggers.py.
    "vllm": {
        "input": Counter(metric="vllm:prompt_tokens_total", also=("vllm_prompt_tokens_total",), fixed={"reporter": "server"}),
        "output": Counter(
            metric="vllm:generation_tokens_total", also=("vllm_generation_tokens_total",), fixed={"reporter": "server"}
        ),
    },
    # Source: semantic-conventions 1.41.1, docs/gen-ai/gen-ai-metrics.md: a histogram, whose sum counts.
    "genai": {
        kind: Counter(
            metric="gen_ai_client_token_usage_sum",
            match=f'gen_ai_token_type="{kind}"',
            labels=_GENAI_CLIENT,
            fixed={"reporter": "client"},
        )
        for kind in ("input", "output")
    },
}
"""Profile -> counters of tokens."""

_INSIDE: Final = ".*[.](svc([.].*)?|local|internal|localdomain)"

OUTSIDE: Final[Mapping[str, Counter]] = {
    # Source: istio/istio.io, reference/config/metrics; a host without a ServiceEntry goes by the passthrough cluster's name.
    "istio": Counter(
        metric="istio_requests_total",
        match=f'destination_service_name=~"PassthroughCluster|.*[.].*",destination_service_name!~"{_INSIDE}"',
        labels={"callee": ("destination_service_name",)},
    ),
    # Source: linkerd/website, tasks/managing-egress-traffic; there are such series where an EgressNetwork is.
    "linkerd": Counter(
        metric="outbound_http_route_request_statuses_total",
        match='parent_kind="EgressNetwork"',
        labels={"caller": ("deployment", "workload", "app", "service", "job"), "callee": ("hostname",)},
        fixed={"reporter": "outbound"},
    ),
}
"""Profile -> counters of calls to hosts outside the mesh; the callee is the host."""

_CLUSTERS: Final = ENVOY.histograms[0].match

# Source: Envoy, docs/root/configuration/upstream/cluster_manager/cluster_stats.rst.
GAUGES: Final[Mapping[str, Mapping[Gauge, Counter]]] = {
    "envoy": {
        "active": Counter(metric="envoy_cluster_upstream_rq_active", match=_CLUSTERS),
        "waiting": Counter(metric="envoy_cluster_upstream_rq_pending_active", match=_CLUSTERS),
        "ejected": Counter(metric="envoy_cluster_outlier_detection_ejections_active", match=_CLUSTERS),
        "breaker_open": Counter(metric="envoy_cluster_circuit_breakers_default_rq_open", match=_CLUSTERS),
    },
    # Source: vllm-project/vllm, vllm/v1/metrics/loggers.py.
    "vllm": {
        "active": Counter(
            metric="vllm:num_requests_running", also=("vllm_num_requests_running",), fixed={"reporter": "server"}
        ),
        "waiting": Counter(
            metric="vllm:num_requests_waiting", also=("vllm_num_requests_waiting",), fixed={"reporter": "server"}
        ),
    },
}
"""Profile -> gauges, which are no counters and are read as they are."""
