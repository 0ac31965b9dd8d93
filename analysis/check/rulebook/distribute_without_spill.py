"""MS319: a distribution that leaves a locality nowhere to go."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:  # noqa: ARG001 - the contract's
    locality = child(manifest.spec, "trafficPolicy", "loadBalancer", "localityLbSetting")
    for share in entries(locality, "distribute"):
        to = child(share, "to")
        if len(to) == 1:
            message = (
                f"all calls from {share.get('from')} go to {next(iter(to))}: when that is out they fail, and nothing takes over"
            )
            yield Hit(manifest.place(share, "to"), message)


RULE = Rule(
    code="MS319",
    name="distribute-without-spill",
    severity="warning",
    finds="A `distribute` entry with one destination only.",
    why="`distribute` excludes failover, and localities that it does not name get nothing.",
    instead="a few per cent for a second locality, or `failover` instead",
    evidence="istio/istio#33470; pkg/config/validation/validation.go.",
    find=each("networking.istio.io", "DestinationRule", inspect=_inspect),
)
