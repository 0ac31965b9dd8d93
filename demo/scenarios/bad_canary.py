"""A new version with 20 % of the calls fails one in three and is slow: it is rolled back as soon as that is sure."""

from meshslo.analysis.canary import CanarySettings, Rollout, judge, parse_arms, route_documents, select_arms
from meshslo.analysis.config import Config
from meshslo.demo.load_plan import Ask

from . import Evidence, Mended, Scenario
from .figures import Figures
from .loads import WHOLE_S, plan_asks
from .street import SERVICE, Stand

WEIGHTS = {"v1": 80, "v2": 20}


def load(quick: bool) -> list[Ask]:
    """A steady load."""
    return plan_asks(17.0 if quick else WHOLE_S, lambda _: 22.0, tokens=8)


def mend(evidence: Evidence) -> Mended:
    """The routing that the verdict asks for."""
    found = judge(select_arms(evidence.calls.lazy(), parse_arms("v1", "v2")), CanarySettings(), WEIGHTS["v2"])
    rollout = Rollout(SERVICE, "v1", "v2", found.next_weight)
    documents = route_documents("envoy", rollout, Config().emit, evidence.manifests)
    said = f"{found.verdict.replace('_', ' ')}, next weight {found.next_weight} %: {found.reason}."
    return Mended({document.path: document.text for document in documents}, (said,))


def holds(before: Figures, after: Figures) -> bool:
    """The new version gets no calls any more, and next to nothing fails."""
    return (
        before.by_version.get("v2", 0) > 0 and not after.by_version.get("v2") and after.failed_ratio < before.failed_ratio / 2
    )


SCENARIO = Scenario(
    name="bad-canary",
    story="a new version with 20 % of the calls fails one in three and takes half as long again",
    stands=(
        Stand("generator-0"),
        Stand("generator-1"),
        Stand("generator-2", "v2", trouble={"fails_ratio": 1 / 3, "slow_factor": 1.5}),
    ),
    load=load,
    mend=mend,
    holds=holds,
    weights=WEIGHTS,
)
