"""MS316: Linkerd's balancer without a penalty for quick refusals."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.readers.linkerd import ACCRUAL, is_linkerds

PENALTY = "balancer.alpha.linkerd.io/penalize-failures"


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:  # noqa: ARG001 - the contract's
    marks = manifest.annotations
    if is_linkerds(manifest) and marks.get(ACCRUAL) != "unified" and str(marks.get(PENALTY, "false")) != "true":
        place = manifest.place(marks, ACCRUAL)
        yield Hit(place, f"replicas of {manifest.name} that answer 429 at once look fast, and get more calls")


RULE = Rule(
    code="MS316",
    name="fast-rejections-attract",
    severity="info",
    finds="A Linkerd Service with annotations, but neither `unified` failure accrual nor penalize-failures (2.20).",
    why="The balancer prefers the lowest latency: a full model server that refuses with 429 in a millisecond draws the calls"
    " of the others.",
    instead="balancer.linkerd.io/failure-accrual: unified, or penalize-failures, for servers that answer 429",
    evidence="linkerd.io 2-edge tasks/rate-limit-aware-load-balancing.",
    find=each("v1", "Service", inspect=_inspect),
)
