"""One of four servers answers 503 from some moment on: a fourth of the calls fail, until it is ejected."""

from meshslo.demo.load_plan import Ask

from . import Evidence, Mended, Scenario
from .advice import advise
from .figures import Figures
from .loads import WHOLE_S, plan_asks
from .street import Stand


def load(quick: bool) -> list[Ask]:
    """A steady load."""
    return plan_asks(12.0 if quick else WHOLE_S, lambda _: 22.0, tokens=8)


def mend(evidence: Evidence) -> Mended:
    """The ejection that the calls by pod justify."""
    return advise(evidence, "outliers")


def holds(before: Figures, after: Figures) -> bool:
    """A third of the failures at most is left."""
    return before.failed > 0 and after.failed_ratio < before.failed_ratio / 3


SCENARIO = Scenario(
    name="broken-replica",
    story="one of four servers answers 503 from the fourth second on",
    stands=tuple(
        Stand(f"generator-{n}", trouble={"fails_from_s": 4.0, "fails_ratio": 1.0} if n == 2 else {}) for n in range(4)
    ),
    load=load,
    mend=mend,
    holds=holds,
)
