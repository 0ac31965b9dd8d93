"""MS224: a mirror of all traffic."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, each_manifest
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries


def _inspect(manifest: Manifest, _: Subject) -> Iterator[Hit]:
    if manifest.is_a("networking.istio.io", "VirtualService"):
        yield from _istio(manifest)
    elif manifest.is_a("gateway.networking.k8s.io", "HTTPRoute"):
        yield from _gateway_api(manifest)


def _istio(manifest: Manifest) -> Iterator[Hit]:
    for http in entries(manifest.spec, "http"):
        whole = child(http, "mirrorPercentage").get("value", 100)
        if http.get("mirror") is not None and whole == 100:
            yield _hit(manifest.place(http, "mirror"))
        for mirror in entries(http, "mirrors"):
            if child(mirror, "percentage").get("value", 100) == 100:
                yield _hit(manifest.place(mirror, "destination"))


def _gateway_api(manifest: Manifest) -> Iterator[Hit]:
    for rule in entries(manifest.spec, "rules"):
        for each in entries(rule, "filters"):
            mirror = child(each, "requestMirror")
            if mirror and mirror.get("percent", 100) == 100 and mirror.get("fraction") is None:
                yield _hit(manifest.place(each, "requestMirror"))


def _hit(place: str) -> Hit:
    return Hit(place, "every call is mirrored: a generation is computed twice")


RULE = Rule(
    code="MS224",
    name="mirrored-generation",
    severity="warning",
    finds="A mirror without a percentage, or of 100 %.",
    why="Absent is 100 %: the mirror generates every answer again, as many tokens as the primary, and nobody reads them.",
    instead="a percentage that is worth its GPU time",
    evidence="virtual_service.proto in istio/api; httproute_types.go in the Gateway API; projectcontour/contour#5869.",
    find=each_manifest(_inspect),
)
