"""A provider is out for a while: its share of the calls fails, until they fail over to another that was probed before."""

from meshslo.analysis.config import Config, Hop
from meshslo.demo.load_plan import Ask

from . import Evidence, Mended, Scenario
from .advice import advise
from .figures import Figures
from .loads import WHOLE_S, plan_asks
from .street import Stand

PREFERRED, OTHER = "alpha", "beta"
FAILOVER = Config(hops={"ingress>generator": Hop(failover=(PREFERRED, OTHER))})

OUT_S = (3.0, 10.0)


def load(quick: bool) -> list[Ask]:
    """A steady load."""
    return plan_asks(12.0 if quick else WHOLE_S, lambda _: 24.0, tokens=8)


def mend(evidence: Evidence) -> Mended:
    """The order of providers, and the ejection that a failover is set off by."""
    return advise(evidence, "failovers", config=FAILOVER)


def holds(before: Figures, after: Figures) -> bool:
    """A third of the failures at most is left, and the other provider answers what the preferred one cannot."""
    moved = after.by_provider.get(OTHER, 0) > before.by_provider.get(OTHER, 0)
    return moved and before.failed > 0 and after.failed_ratio < before.failed_ratio / 3


SCENARIO = Scenario(
    name="provider-outage",
    story=f"provider {PREFERRED} answers 503 for seven seconds; {OTHER} gets a fourth of the calls as probes, and no more",
    stands=(
        *(
            Stand(
                f"{PREFERRED}-{n}",
                provider=PREFERRED,
                weight=30,
                trouble={"fails_from_s": OUT_S[0], "fails_until_s": OUT_S[1], "fails_ratio": 1.0},
            )
            for n in range(2)
        ),
        Stand(f"{OTHER}-0", provider=OTHER, trouble={"slow_factor": 1.3}),
    ),
    load=load,
    mend=mend,
    holds=holds,
)
