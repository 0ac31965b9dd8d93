"""Linkerd's failure accrual: ejection by failures in a row, which the annotations of a callee's Service switch on.

Source: linkerd.io reference/circuit-breaking: a pod is let back in after a penalty that doubles up to a longest one; one call
is the probe. A ServiceProfile of the Service switches its annotations off.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshslo.analysis.policy.durations import whole_duration
from meshslo.analysis.policy.manifest import Manifest, first_label, load_editable
from meshslo.analysis.policy.readers.linkerd import ACCRUAL, PROFILES
from meshslo.analysis.recommend.recommendation import Recommendation

from .plan import CalleePolicy, not_expressible, strip_comments

LONGEST_PENALTY_S: Final = 60.0
"""Linkerd's own, which a penalty may not exceed."""

HELD: Final = ("consecutive_5xx", "base_ejection_time")

UNASKED: Final = (
    "Linkerd has it in annotations of the callee's Service, which is not among the manifests in use: pass it with --current. "
    "The closest without is kubectl annotate service {callee} {annotations}"
)
SWITCHED_OFF: Final = (
    "Linkerd has it in annotations of the callee's Service, and a ServiceProfile of that name switches them off. The closest "
    "is to move the profile's timeouts and retries to annotations, and to remove it"
)


def ejecting_services(policy: CalleePolicy, manifests: Mapping[str, str]) -> tuple[list[Any], list[Recommendation]]:
    """The callee's Service in use with the annotations that are wanted, and what cannot be put there."""
    wanted = dict(_annotations(policy))
    if not wanted:
        return [], []
    items = [item for setting in HELD if setting in policy.others for item in policy.others[setting].items]
    current = [each for name, text in sorted(manifests.items()) for each in load_editable(strip_comments(text), name)]
    if any(each.is_a(PROFILES, "ServiceProfile") and first_label(each.name) == policy.callee for each in current):
        return [], [not_expressible(item, SWITCHED_OFF) for item in items]
    services = [each for each in current if each.is_a("v1", "Service") and each.name == policy.callee]
    if not services:
        said = " ".join(f"{name}={value}" for name, value in wanted.items())
        return [], [not_expressible(item, UNASKED.format(callee=policy.callee, annotations=said)) for item in items]
    return [_annotated(each, wanted) for each in services], []


def _annotations(policy: CalleePolicy) -> Iterator[tuple[str, str]]:
    if "consecutive_5xx" not in policy.others:
        return
    yield ACCRUAL, "consecutive"
    yield f"{ACCRUAL}-consecutive-max-failures", str(round(float(policy.others["consecutive_5xx"].value)))
    if "base_ejection_time" in policy.others:
        penalty_s = float(policy.others["base_ejection_time"].value)
        yield f"{ACCRUAL}-consecutive-min-penalty", whole_duration(penalty_s)
        if penalty_s > LONGEST_PENALTY_S:
            yield f"{ACCRUAL}-consecutive-max-penalty", whole_duration(penalty_s)


def _annotated(service: Manifest, wanted: Mapping[str, str]) -> Any:
    service.body["metadata"].setdefault("annotations", {}).update(wanted)
    return service.body
