"""MS122: a timer on receiving the request that ends uploads and client streams."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:  # noqa: ARG001 - the contract's
    received = manifest.seconds(child(manifest.spec, "timeout", "http"), "requestReceivedTimeout")
    if received is not None and received.value:
        yield Hit(received.source, f"a request that is not wholly there after {received.value:g} s is answered 408")


RULE = Rule(
    code="MS122",
    name="request-timeout-on-upload",
    severity="info",
    finds="A ClientTrafficPolicy with requestReceivedTimeout.",
    why="Large prompts and client streams are answered 408 with part of the body received; a bidirectional stream never ends"
    " its request at all.",
    instead="no such timeout on listeners that take streams; request headers have one of their own",
    evidence="envoyproxy/gateway#2598; request_timeout of Envoy's HttpConnectionManager.",
    find=each("gateway.envoyproxy.io", "ClientTrafficPolicy", inspect=_inspect),
)
