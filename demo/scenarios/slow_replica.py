"""One of four servers is slow and says 200: no mesh ejects it, so it is named, and drained by hand."""

from typing import Any

import yaml

from meshslo.analysis.config import Config
from meshslo.analysis.recommend import observe, recommend
from meshslo.demo.load_plan import Ask

from . import Evidence, Mended, Scenario
from .advice import sentence
from .figures import Figures
from .loads import WHOLE_S, plan_asks
from .street import BOOTSTRAP, SERVICE, Stand, as_text

SLOW = "generator-1"
STANDS = tuple(Stand(f"generator-{n}", trouble={"slow_factor": 4.0} if f"generator-{n}" == SLOW else {}) for n in range(4))


def load(quick: bool) -> list[Ask]:
    """A steady load."""
    return plan_asks(13.0 if quick else WHOLE_S, lambda _: 20.0, tokens=8)


def mend(evidence: Evidence) -> Mended:
    """The bootstrap without the pods that are surely slow, as whoever is on call would drain them."""
    found = recommend(observe(evidence.calls.lazy(), Config()), ["outliers"])
    slow = next((item for item in found.items if item.setting == "slow_pods" and item.proposed), None)
    if slow is None or slow.proposed is None:
        return Mended(evidence.manifests, ("no pod is surely slower than the others",))
    body: Any = yaml.safe_load(evidence.manifests[BOOTSTRAP])
    cluster = next(each for each in body["static_resources"]["clusters"] if each["name"] == SERVICE)
    # The endpoints stand in the order of the replicas.
    endpoints = cluster["load_assignment"]["endpoints"][0]
    drained = str(slow.proposed.value).split(",")
    pairs = zip(STANDS, endpoints["lb_endpoints"], strict=True)
    endpoints["lb_endpoints"] = [endpoint for stand, endpoint in pairs if stand.name not in drained]
    return Mended({BOOTSTRAP: as_text(body)}, (sentence(slow), f"drained by hand: {', '.join(drained)}"))


def holds(before: Figures, after: Figures) -> bool:
    """The slow pod, and no other, gets no calls any more, and first tokens come sooner."""
    waits = (before.first_token_p95.value_s, after.first_token_p95.value_s)
    gone = set(before.by_pod) - set(after.by_pod)
    return waits[0] is not None and waits[1] is not None and gone == {SLOW} and waits[1] < waits[0]


SCENARIO = Scenario(
    name="slow-replica",
    story="one of four servers takes four times as long, and answers 200",
    stands=STANDS,
    load=load,
    mend=mend,
    holds=holds,
)
