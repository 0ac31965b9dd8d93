"""MS222: Istio retries that its webhook refuses."""

from collections.abc import Iterator
from typing import Final

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries

TOKENS: Final = frozenset(
    [
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "retriable-4xx",
        "refused-stream",
        "retriable-status-codes",
        "retriable-headers",
        "envoy-ratelimited",
        "http3-post-connect-failure",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    ]
)
"""Every condition; three-digit statuses besides."""

NOT_WITH_NONE: Final = ("perTryTimeout", "retryOn", "retryRemoteLocalities")


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:  # noqa: ARG001 - the contract's
    for http in entries(manifest.spec, "http"):
        timeout = manifest.seconds(http, "timeout")
        if timeout is not None and not timeout.value:
            yield Hit(timeout.source, "`timeout: 0s` is refused: no timeout is the absent field")
        retries = child(http, "retries")
        attempts = manifest.amount(retries, "attempts")
        for field in NOT_WITH_NONE:
            if attempts is not None and not attempts.value and retries.get(field) is not None:
                yield Hit(manifest.place(retries, field), f"`attempts: 0` beside {field} is refused")
        for token in str(retries.get("retryOn") or "5xx").split(","):
            if token not in TOKENS and not (token.isdigit() and len(token) == 3):
                yield Hit(manifest.place(retries, "retryOn"), f'retryOn has "{token}", which is no condition')


RULE = Rule(
    code="MS222",
    name="retry-syntax",
    severity="error",
    finds="In a VirtualService: spaces or unknown words in retryOn, `attempts: 0` beside other retry fields, `timeout: 0s`.",
    why="Istio splits retryOn at commas without trimming: its webhook refuses the resource at deployment, the others with it.",
    instead="commas alone between conditions; `attempts: 0` alone; no timeout field for none",
    evidence="istio/istio pkg/config/validation/agent/validation.go.",
    find=each("networking.istio.io", "VirtualService", inspect=_inspect),
)
