"""MS120: a route's `backendRequest` without `retry`."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries
from meshslo.analysis.policy.readers.linkerd import is_linkerds


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:  # noqa: ARG001 - the contract's
    if is_linkerds(manifest):
        return
    for rule in entries(manifest.spec, "rules"):
        timeouts = child(rule, "timeouts")
        request, attempt = manifest.seconds(timeouts, "request"), manifest.seconds(timeouts, "backendRequest")
        if attempt is None or rule.get("retry") is not None:
            continue
        if request is None or request.value != attempt.value:
            longer = "" if request is None else f", not after {timeouts['request']}"
            yield Hit(attempt.source, f"without `retry` the whole call ends after {timeouts['backendRequest']}{longer}")


RULE = Rule(
    code="MS120",
    name="backend-request-alone",
    severity="warning",
    finds="An HTTPRoute rule with `timeouts.backendRequest` and no `retry`.",
    why="Istio and Envoy Gateway write it over the total timeout: streams are cut at the limit of an attempt.",
    instead="`timeouts.request` alone, or `retry` beside it",
    evidence="istio/istio pilot/pkg/config/kube/gateway/conversion.go; envoyproxy/gateway internal/gatewayapi/route.go.",
    find=each("gateway.networking.k8s.io", "HTTPRoute", inspect=_inspect),
)
