"""MS317: a failover that nothing sets off."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:  # noqa: ARG001 - the contract's
    policy = child(manifest.spec, "trafficPolicy")
    locality = child(policy, "loadBalancer", "localityLbSetting")
    for field in ("failover", "failoverPriority"):
        if locality.get(field) and policy.get("outlierDetection") is None:
            yield Hit(manifest.place(locality, field), f"{field} has no effect without outlierDetection")


RULE = Rule(
    code="MS317",
    name="failover-without-outliers",
    severity="warning",
    finds="localityLbSetting.failover or failoverPriority without outlierDetection.",
    why="Only ejected pods make a locality unhealthy: without them traffic stays in the sick zone.",
    instead="outlierDetection beside it: `meshslo recommend outliers`",
    evidence="istio/istio#48084, istio/istio#12961.",
    find=each("networking.istio.io", "DestinationRule", inspect=_inspect),
)
