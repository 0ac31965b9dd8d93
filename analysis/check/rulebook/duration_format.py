"""MS123: a duration in another API's grammar."""

import re
from collections.abc import Iterator
from typing import Any, Final

from meshslo.analysis.check.rule import Hit, Rule, Subject, each_manifest
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries
from meshslo.analysis.policy.readers.linkerd import RETRY, TIMEOUT, is_linkerds

GATEWAY_API: Final = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
LINKERD: Final = re.compile(r"[0-9]+(ms|s|m|h|d)")


def _inspect(manifest: Manifest, _: Subject) -> Iterator[Hit]:
    if manifest.kind in ("Service", "HTTPRoute", "GRPCRoute"):
        marks = manifest.annotations
        for name in (name for name in marks if str(name).startswith(TIMEOUT) or name == f"{RETRY}timeout"):
            yield from _judge(manifest, marks, name, LINKERD, "Linkerd reads one whole number and one unit")
    if manifest.is_a("gateway.networking.k8s.io", "HTTPRoute"):
        for rule in entries(manifest.spec, "rules"):
            timeouts = child(rule, "timeouts")
            for name in timeouts:
                yield from _judge(manifest, timeouts, name, GATEWAY_API, "the Gateway API has no decimals, and 5 digits a unit")
                if is_linkerds(manifest):
                    yield from _judge(manifest, timeouts, name, LINKERD, "Linkerd drops what is not one number and one unit")


def _judge(manifest: Manifest, node: Any, key: str, grammar: re.Pattern[str], says: str) -> Iterator[Hit]:
    if not grammar.fullmatch(str(node[key])):
        yield Hit(manifest.place(node, key), f'"{node[key]}" will not do as {key}: {says}')


RULE = Rule(
    code="MS123",
    name="duration-format",
    severity="error",
    finds='Durations that the API in question refuses or drops: decimals such as "1.5s" in the Gateway API, "1m30s" on '
    "Linkerd.",
    why="The grammars differ. The Gateway API refuses to apply; Linkerd drops the value without a word, and there is no "
    "timeout.",
    instead='one whole number and one unit, as in "90s" or "1500ms": every mesh reads that',
    evidence="GEP-2257; linkerd/linkerd2 policy-controller outbound/index.rs parse_duration.",
    find=each_manifest(_inspect),
)
