"""More calls than the servers have places in their batches: all wait, until a breaker refuses some at once."""

from meshslo.demo.load_plan import Ask

from . import Evidence, Mended, Scenario
from .advice import advise
from .figures import Figures
from .loads import WHOLE_S, plan_asks
from .street import Stand

SLOTS = 5


def load(quick: bool) -> list[Ask]:
    """From few calls to twice what can be served, and back."""
    return plan_asks(20.0 if quick else WHOLE_S, lambda part: 5.0 + 31.0 * (1.0 - abs(2.0 * part - 1.0)))


def mend(evidence: Evidence) -> Mended:
    """The limits that the knee justifies."""
    return advise(evidence, "breakers")


def holds(before: Figures, after: Figures) -> bool:
    """Some are refused, at once, and the others' first tokens come in half the time."""
    waits = (before.first_token_p95.value_s, after.first_token_p95.value_s)
    if waits[0] is None or waits[1] is None or after.refused_p95_s is None:
        return False
    return before.refused == 0 and after.refused > 0 and after.refused_p95_s < waits[1] < waits[0] / 2


SCENARIO = Scenario(
    name="overloaded-generator",
    story=f"two servers with {SLOTS} places each get twice the calls they can serve",
    stands=tuple(Stand(f"generator-{n}", trouble={"slots": SLOTS}) for n in range(2)),
    load=load,
    mend=mend,
    holds=holds,
)
