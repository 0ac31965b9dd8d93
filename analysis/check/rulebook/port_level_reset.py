"""MS322: settings of a port that reset those of the host."""

from collections.abc import Iterator
from typing import Final

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries

INHERITABLE: Final = ("connectionPool", "outlierDetection", "loadBalancer", "tls")


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:  # noqa: ARG001 - the contract's
    policy = child(manifest.spec, "trafficPolicy")
    for settings in entries(policy, "portLevelSettings"):
        lost = [name for name in INHERITABLE if policy.get(name) is not None and settings.get(name) is None]
        if lost:
            number = child(settings, "port").get("number", "?")
            yield Hit(manifest.place(settings, "port"), f"port {number} has no {' and no '.join(lost)}: nothing is inherited")


RULE = Rule(
    code="MS322",
    name="port-level-reset",
    severity="warning",
    finds="portLevelSettings that leave out what the host's trafficPolicy sets.",
    why="A port's settings replace the host's as a whole: breakers and outlier detection are absent on that port.",
    instead="every block repeated under portLevelSettings",
    evidence="destination_rule.proto in istio/api.",
    find=each("networking.istio.io", "DestinationRule", inspect=_inspect),
)
