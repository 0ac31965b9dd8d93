"""A zone loses its model: callers of both zones are failed by it, until calls stay at home and leave a home that is out."""

from meshslo.demo.load_plan import Ask

from . import Evidence, Mended, Scenario
from .advice import advise
from .figures import Figures
from .loads import WHOLE_S, plan_asks
from .street import Stand

ZONES = ("zone-a", "zone-b")
LOST = "zone-b"


def load(quick: bool) -> list[Ask]:
    """A steady load, half of it from callers in each zone."""
    return plan_asks(13.0 if quick else WHOLE_S, lambda _: 24.0, tokens=8)


def mend(evidence: Evidence) -> Mended:
    """Priorities of zones, and the ejection without which no zone is ever found to be out."""
    return advise(evidence, "localities", "outliers")


def holds(before: Figures, after: Figures) -> bool:
    """A third of the failures at most is left; nobody crosses into the zone that is lost, and those in it leave."""
    into, from_lost = f"{ZONES[0]} to {LOST}", f"{LOST} to {ZONES[0]}"
    stays = before.by_zones.get(into, 0) > 0 and not after.by_zones.get(into)
    return stays and after.by_zones.get(from_lost, 0) > 0 and after.failed_ratio < before.failed_ratio / 3


SCENARIO = Scenario(
    name="zone-loss",
    story="two zones with two servers each; those of one answer 503 from the fifth second on, and callers spread over both",
    stands=tuple(
        Stand(
            f"generator-{n}",
            zone=ZONES[n % 2],
            trouble={"fails_from_s": 5.0, "fails_ratio": 1.0} if ZONES[n % 2] == LOST else {},
        )
        for n in range(4)
    ),
    load=load,
    mend=mend,
    holds=holds,
    zones=ZONES,
)
