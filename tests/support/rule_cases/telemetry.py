"""Cases of the rules on telemetry, and on what cannot be checked."""

from .case import STRICT, VS, Case

CASES = [
    Case(
        "MS511",
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: t}\nspec:\n"
        "  tracing: [{randomSamplingPercentage: 1}]\n",
        "randomSamplingPercentage",
        "takes 29,900 calls",
        ("Percentage: 1", "Percentage: 100"),
    ),
    Case(
        "MS512",
        "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: r}\nspec:\n  groups:\n    - rules:\n"
        "        - expr: histogram_quantile(0.99, sum by (le) (rate(envoy_cluster_upstream_rq_time_bucket[5m])))\n",
        "expr",
        "a quantile of the survivors",
        ("envoy_cluster_upstream_rq_time", "istio_request_duration_milliseconds"),
    ),
    Case("MS920", "replicas: 3\n---\n" + STRICT, "replicas", "names no kind", ("replicas: 3\n---\n", "")),
    Case(
        "MS920", STRICT.replace("PeerAuth", "PierAuth") + VS, "kind: Pier", "has no kind PierAuthentication", ("Pier", "Peer")
    ),
    Case(
        "MS921",
        STRICT.replace("io/v1", "io/v9"),
        "apiVersion",
        "PeerAuthentication has no version v9 that is known here, only v1, v1beta1: it is read as v1",
        ("io/v9", "io/v1"),
    ),
    Case(
        "MS922",
        VS.replace("namespace: rag", "namespace: rag, annotations: {meshslo/ignore: MS213}")
        + "    - route: [{destination: {host: generator}}]\n      timeout: 5s\n",
        "meshslo/ignore",
        "MS213 is not silenced: no reason is given",
        ("MS213}", "MS213 agreed}"),
    ),
]
