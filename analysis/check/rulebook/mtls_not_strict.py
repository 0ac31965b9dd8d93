"""MS411: workloads that take plaintext."""

from collections.abc import Iterator
from typing import Final

import polars as pl

from meshslo.analysis.check.rule import Hit, Rule, Subject, each_manifest
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child
from meshslo.analysis.policy.readers.istio_security import GROUP, workload
from meshslo.analysis.recommend.words import count

LOOSE: Final = ("PERMISSIVE", "DISABLE")
LINKERD: Final = "config.linkerd.io/default-inbound-policy"
LINKERD_LOOSE: Final = ("all-unauthenticated", "cluster-unauthenticated")


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:
    if manifest.is_a(GROUP, "PeerAuthentication"):
        yield from _peer(manifest, subject)
    elif manifest.is_a("networking.istio.io", "DestinationRule"):
        tls = child(manifest.spec, "trafficPolicy", "tls")
        if tls.get("mode") == "DISABLE":
            yield Hit(manifest.place(tls, "mode"), f"callers of {manifest.spec.get('host')} send plaintext")
    elif manifest.annotations.get(LINKERD) in LINKERD_LOOSE:
        place = manifest.place(manifest.annotations, LINKERD)
        yield Hit(place, f"{manifest.kind} {manifest.name} lets in callers without identity, in plaintext")


def _peer(manifest: Manifest, subject: Subject) -> Iterator[Hit]:
    mtls, ports = child(manifest.spec, "mtls"), child(manifest.spec, "portLevelMtls")
    plain = _plain_calls(subject, workload(manifest))
    seen = f"; {count(plain)} calls came so" if plain else ""
    if mtls.get("mode") in LOOSE:
        yield Hit(manifest.place(mtls, "mode"), f"mode {mtls['mode']} lets plaintext in{seen}", confirmed=plain > 0)
    for port in ports:
        mode = child(ports, port).get("mode")
        if mode in LOOSE:
            yield Hit(manifest.place(ports, port), f"port {port} lets plaintext in ({mode}){seen}", confirmed=plain > 0)


def _plain_calls(subject: Subject, callee: str) -> int:
    """Calls without mutual TLS of a callee, of all where the policy is for every one."""
    if subject.observed is None:
        return 0
    plain = subject.observed.calls.filter(pl.col("mtls").eq(other=False))
    hops = subject.hops_to(callee)
    here = plain if callee == "*" else plain.filter(pl.col("hop").is_in(hops))
    return int(here.select(pl.len()).collect().item())


RULE = Rule(
    code="MS411",
    name="mtls-not-strict",
    severity="error",
    finds="PeerAuthentication PERMISSIVE or DISABLE, of a port too; a DestinationRule with tls.mode DISABLE; Linkerd's "
    "default-inbound-policy for callers without identity.",
    why="Plaintext is accepted: who calls is not known, and rules on principals are void.",
    instead="STRICT in the root namespace once every observed call is mutual TLS; config.linkerd.io/default-inbound-policy: "
    "all-authenticated",
    evidence="peer_authentication.proto in istio/api; istio/istio.io#9524; linkerd.io reference/authorization-policy.",
    find=each_manifest(_inspect),
)
