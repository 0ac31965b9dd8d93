"""Recommenders: one file a kind, each ending in `RECOMMENDER`; each a pure function of what was observed.

The laws of every recommender, which one suite in tests holds over all of them: the same observations give the same answer;
the order of calls changes nothing; too little data is answered with `not_identifiable`, never with a number; what is deployed
and not contradicted by the data is kept; nothing it is given is changed.
"""

import sys
from collections.abc import Sequence
from typing import Protocol

from meshslo.telemetry.discovery import members
from meshslo.telemetry.errors import BadInputError

from .observed import Observed, observe
from .recommendation import Learned, Recommendation, Recommendations, parse_recommendations

__all__ = [
    "Observed",
    "Recommendation",
    "Recommendations",
    "Recommender",
    "need_calls",
    "observe",
    "parse_recommendations",
    "recommend",
    "recommenders",
]


class Recommender(Protocol):
    """Answers for one kind of policy."""

    kind: str
    """The kind of its recommendations: "timeout". Settings of another kind that it needs stand beside them."""
    plural: str
    """What a person may call it as well: "timeouts"."""

    def recommend(self, observed: Observed) -> Sequence[Recommendation]:
        """One answer for every target and setting, in a stable order; "leave it" and "not identifiable" are answers."""
        ...


def recommenders() -> list[Recommender]:
    """Every recommender there is: those in this folder and those of the entry points `meshslo.recommenders`."""
    return list(members(sys.modules[__name__], "RECOMMENDER"))  # type: ignore[arg-type]  # the contract suite holds their type


def need_calls(kinds: Sequence[str]) -> bool:
    """Whether any of these kinds, all where none is given, needs single calls; the others make do with metrics."""
    return not kinds or not all(
        getattr(each, "from_metrics", False) for each in recommenders() if {each.kind, each.plural} & set(kinds)
    )


def recommend(observed: Observed, kinds: Sequence[str] = ()) -> Recommendations:
    """The recommendations of the given kinds, all where none is given; BadInputError names a kind that there is not."""
    every = recommenders()
    known = {name for each in every for name in (each.kind, each.plural)}
    unknown = [kind for kind in kinds if kind not in known]
    if unknown:
        raise BadInputError(f"no recommendations of kind {', '.join(unknown)}; there are {', '.join(e.plural for e in every)}")
    chosen = [each for each in every if not kinds or {each.kind, each.plural} & set(kinds)]
    learned = Learned.between(*observed.window) if observed.window else None
    found = [(item.kind != each.kind, item) for each in chosen for item in each.recommend(observed)]
    own = Recommendations(items=tuple(item for borrowed, item in found if not borrowed), learned=learned)
    # Where several need a setting of another kind, the largest value serves them all.
    return own.with_answers(sorted((item for borrowed, item in found if borrowed), key=_size))


def _size(item: Recommendation) -> float:
    value = item.wanted
    return len(value) if isinstance(value, str) else -1.0 if value is None else float(value)
