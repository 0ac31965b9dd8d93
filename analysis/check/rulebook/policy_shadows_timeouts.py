"""MS119: an Envoy Gateway policy that makes a route's own timeouts disappear."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries
from meshslo.analysis.policy.versions import POLICY_SHADOWS


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:
    if not POLICY_SHADOWS.has(subject.version("envoy-gateway")):
        return
    timed = {m.name for m in subject.of("gateway.networking.k8s.io", "HTTPRoute") if _has_timeouts(m)}
    refs = [*entries(manifest.spec, "targetRefs"), child(manifest.spec, "targetRef")]
    for name in sorted({str(ref.get("name")) for ref in refs} & timed):
        yield Hit(manifest.place(manifest.body, "spec"), f"the timeouts of HTTPRoute {name} are lost: {POLICY_SHADOWS.what}")


def _has_timeouts(manifest: Manifest) -> bool:
    return any(rule.get("timeouts") for rule in entries(manifest.spec, "rules"))


RULE = Rule(
    code="MS119",
    name="policy-shadows-timeouts",
    severity="warning",
    finds="A BackendTrafficPolicy on an HTTPRoute that sets `timeouts`, under Envoy Gateway 1.1 and older (--mesh-version "
    "envoy-gateway=1.1).",
    why="The route's timeouts are lost when the policy is merged, and Envoy's 15 s hold.",
    instead="the timeouts in the policy (timeout.http.requestTimeout, from 1.2 on), or an upgrade",
    evidence="envoyproxy/gateway#4091, envoyproxy/gateway#4478.",
    find=each("gateway.envoyproxy.io", "BackendTrafficPolicy", inspect=_inspect),
)
