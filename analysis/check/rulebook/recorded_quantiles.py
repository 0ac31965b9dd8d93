"""MS512: Prometheus rules whose quantiles are not what they say."""

import re
from collections.abc import Iterator
from typing import Any, Final

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import entries

WRONG: Final = (
    (
        re.compile(r"histogram_quantile\(.*upstream_rq_time"),
        "upstream_rq_time leaves out every call that timed out or was reset: this is a quantile of the survivors",
    ),
    (
        re.compile(r"histogram_quantile\(.*outbound_http_route_(?:backend_)?re(?:quest|sponse)_duration"),
        "Linkerd's buckets end at 10 s: no quantile of streams beyond that can be told",
    ),
    (
        re.compile(r"(?:avg|sum|max_over_time|avg_over_time)\s*(?:by\s*\([^)]*\)\s*)?\(\s*histogram_quantile"),
        "quantiles neither add nor average: take the quantile of the summed buckets",
    ),
    (
        re.compile(r"histogram_quantile\(\s*[^,]+,\s*(?!\s*(?:sum|rate|increase|avg))[a-z_:]+_bucket"),
        "without rate() this is a quantile of everything since the process started",
    ),
)
"""What an expression does, and what comes of it."""


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:  # noqa: ARG001 - the contract's
    for group in entries(manifest.spec, "groups"):
        for rule in entries(group, "rules"):
            yield from _judge(manifest, rule)


def _judge(manifest: Manifest, rule: Any) -> Iterator[Hit]:
    expression = " ".join(str(rule.get("expr", "")).split())
    for pattern, message in WRONG:
        if pattern.search(expression):
            yield Hit(manifest.place(rule, "expr"), message)
            return


RULE = Rule(
    code="MS512",
    name="recorded-quantiles",
    severity="warning",
    finds="In a PrometheusRule: quantiles of upstream_rq_time, of Linkerd's route durations, averages or sums of quantiles, "
    "quantiles without rate().",
    why="They look like latency, and alerts hang on them: cut streams are missing, the top bucket hides the tail, or the "
    "number has no meaning at all.",
    instead="`meshslo rules`, which counts cut calls and says where a bucket ends",
    evidence="cluster_stats.rst in Envoy's documentation; router.cc onUpstreamComplete; linkerd2-proxy's buckets.",
    find=each("monitoring.coreos.com", "PrometheusRule", inspect=_inspect),
)
