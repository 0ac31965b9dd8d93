"""MS419: hosts outside that are reached without knowing who answers."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, inspected
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries, scalars
from meshslo.telemetry.errors import BadInputError


def _find(subject: Subject) -> Iterator[Hit | BadInputError]:
    originated = {str(m.spec.get("host")) for m in subject.of("networking.istio.io", "DestinationRule") if _tls(m).get("mode")}
    return inspected(
        subject.of("networking.istio.io", "ServiceEntry", "DestinationRule"),
        subject,
        lambda manifest, _: _entry(manifest, originated) if manifest.kind == "ServiceEntry" else _rule(manifest),
    )


def _tls(manifest: Manifest) -> dict[str, object]:
    policy = manifest.spec.get("trafficPolicy")
    tls = policy.get("tls") if isinstance(policy, dict) else None
    return tls if isinstance(tls, dict) else {}


def _entry(manifest: Manifest, originated: set[str]) -> Iterator[Hit]:
    spec = manifest.spec
    if spec.get("location") == "MESH_INTERNAL":
        return
    hosts = scalars(spec, "hosts")
    if any("*" in host for host in hosts) and spec.get("resolution", "NONE") == "NONE":
        yield Hit(
            manifest.place(spec, "hosts"), "with a wildcard and resolution NONE calls go to whatever address the caller chose"
        )
    for port in entries(spec, "ports"):
        if str(port.get("protocol", "")).upper() in ("HTTP", "HTTP2", "GRPC") and not originated & set(hosts):
            yield Hit(
                manifest.place(port, "protocol"), f"calls of {', '.join(hosts)} leave in plaintext: no DestinationRule adds TLS"
            )


def _rule(manifest: Manifest) -> Iterator[Hit]:
    tls = child(manifest.spec, "trafficPolicy", "tls")
    if tls.get("insecureSkipVerify"):
        yield Hit(manifest.place(tls, "insecureSkipVerify"), f"whoever answers for {manifest.spec.get('host')} is believed")
    elif tls.get("mode") == "SIMPLE" and not (
        tls.get("caCertificates") or tls.get("credentialName") or tls.get("subjectAltNames")
    ):
        yield Hit(
            manifest.place(tls, "mode"),
            f"which name the certificate of {manifest.spec.get('host')} must bear is left to the control plane's settings",
            severity="info",
        )


RULE = Rule(
    code="MS419",
    name="service-entry-loose",
    severity="warning",
    finds="A ServiceEntry with a wildcard host and resolution NONE, or an HTTP port without TLS added; a DestinationRule "
    "with insecureSkipVerify, or SIMPLE TLS without certificates or names.",
    why="Calls to a model's API leave unencrypted, or to a peer that nobody verified.",
    instead="resolution DNS, and a DestinationRule with tls.mode SIMPLE, caCertificates and subjectAltNames",
    evidence="Istio's messages IST0128 and IST0129.",
    find=_find,
)
