"""Metrics of services that `meshslo.telemetry.setup` instruments (`telemetry/metering.py`), sent by OTLP or at /metrics."""

from meshslo.telemetry.buckets import STREAM_EDGES_S
from meshslo.telemetry.prometheus.profile import Histogram, Label, Outcomes, Profile
from meshslo.telemetry.vocabulary import OUTCOMES, PHASES

_SERVICE = ("service", "service_name", "exported_job", "job")
_INSIDE = Label(label="server_address", pattern=r"^([^.:]+)(?:\.[^.:]+)?\.svc(?:[.:]|$)")
"""The service in a host name of Kubernetes; of other hosts the name without its port."""

_SIDES = {
    "client": {
        "caller": _SERVICE,
        "callee": ("service_peer_name", _INSIDE, Label(label="server_address", pattern=r"^([^:]+)")),
    },
    "server": {"caller": ("meshslo_caller",), "callee": _SERVICE},
}

PROFILE = Profile(
    name="meshslo_sdk",
    about="services instrumented by meshslo",
    labels={
        "namespace": ("k8s_namespace_name", "service_namespace", "namespace"),
        "cluster": ("k8s_cluster_name",),
        "version": ("service_version",),
        "route": ("meshslo_route", "http_route", "url_template", "rpc_method"),
        "model": ("gen_ai_request_model",),
        "tenant": ("tenant_id",),
    },
    outcomes=Outcomes(words={"meshslo_outcome": {outcome: outcome for outcome in OUTCOMES}}),
    histograms=tuple(
        Histogram(
            metric=f"meshslo_call_{phase}_seconds",
            unit="s",
            phase=phase,
            edges=STREAM_EDGES_S,
            match=f'meshslo_vantage="{side}"',
            labels=labels,
            fixed={"reporter": side},
        )
        for phase in PHASES
        for side, labels in _SIDES.items()
    ),
)
