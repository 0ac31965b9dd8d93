"""MS315: outlier detection that takes a full queue for a broken pod."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:  # noqa: ARG001 - the contract's
    policy = child(manifest.spec, "trafficPolicy")
    if policy.get("outlierDetection") is None:
        return
    outliers = child(policy, "outlierDetection")
    # 5 in a row is what holds where the field is absent; 0 switches it off.
    counts = outliers.get("consecutive5xxErrors", 5) != 0
    if counts and not outliers.get("splitExternalLocalOriginErrors") and not outliers.get("outlierDetectionHttpErrorCodes"):
        yield Hit(
            manifest.place(policy, "outlierDetection"),
            f"pods of {manifest.spec.get('host')} that answer 503 because their queue is full are ejected like broken ones",
        )


RULE = Rule(
    code="MS315",
    name="ejecting-on-backpressure",
    severity="info",
    finds="Outlier detection on 5xx without splitExternalLocalOriginErrors: it counts a server's 503 for a full queue.",
    why="It takes pods away while the others are saturated: their load goes to the rest, which fills next.",
    instead="429 from the server for a full queue, or consecutiveGatewayErrors and splitExternalLocalOriginErrors with a "
    "higher threshold",
    evidence="destination_rule.proto in istio/api, at splitExternalLocalOriginErrors.",
    find=each("networking.istio.io", "DestinationRule", inspect=_inspect),
)
