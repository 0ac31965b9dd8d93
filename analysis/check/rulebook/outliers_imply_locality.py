"""MS318: outlier detection that brings locality balancing with it."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:  # noqa: ARG001 - the contract's
    policy = child(manifest.spec, "trafficPolicy")
    if policy.get("outlierDetection") is not None and child(policy, "loadBalancer").get("localityLbSetting") is None:
        yield Hit(manifest.place(policy, "outlierDetection"), "with it calls stay in their own zone, though nobody said so")


RULE = Rule(
    code="MS318",
    name="outliers-imply-locality",
    severity="info",
    finds="outlierDetection without a localityLbSetting.",
    why="Istio's mesh default enables locality priorities, and outlier detection is what switches them on: zones of unequal "
    "size get unequal load.",
    instead="localityLbSetting written out: `enabled: false`, or the failover that is meant",
    evidence="istio/api#3693, istio/istio.io#17324.",
    find=each("networking.istio.io", "DestinationRule", inspect=_inspect),
)
