"""An objective as PromQL: how many calls broke it and how many it is about, in a window.

A call that was cut before the threshold is in neither, as in `meshslo slo`: the alert on hidden tails watches those.
Thresholds must be bucket edges: between two edges a classic histogram does not know.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from meshslo.analysis.slo.objective import Objective
from meshslo.telemetry.errors import BadConfigError
from meshslo.telemetry.vocabulary import Outcome

from . import Durations, Producer
from .outcomes import Matchers, outcome_matchers

_OK: Final[tuple[Outcome, ...]] = ("ok",)
_ENDED: Final[tuple[Outcome, ...]] = ("ok", "timeout", "cancelled")
"""Endings that say how long an answer takes; errors and rejections are another objective's."""


@dataclass(frozen=True)
class Indicator:
    """Counts of an objective's calls in PromQL, each of one series without labels, 0 where there is none.

    broken is what `whole` has more than `good`; asked is broken and `kept`. (Of a phase, a call that was cut within the
    threshold is in `good` and not in `kept`: it is not counted at all.)
    """

    producer: Producer
    objective: Objective
    where: Matchers

    def parts(self, window: str) -> dict[str, str]:
        """The expressions of whole, good and kept."""
        if self.objective.phase is None:
            calls = self.producer.calls
            answered = self._sum(calls, (), window, ["ok"])
            # Who leaves is not asked: neither in what is whole nor in what is good.
            whole = self._sum(calls, (), window, ["ok", "error", "timeout", "rejected"])
            return {"whole": whole, "good": answered, "kept": answered}
        durations, le = self._durations()
        seen, kept = (None, None) if durations.is_seen_by_all else (_ENDED, _OK)
        return {
            "whole": self._sum(f"{durations.metric}_count", durations.match, window, seen),
            "good": self._sum(f"{durations.metric}_bucket", (*durations.match, le), window, seen),
            "kept": self._sum(f"{durations.metric}_bucket", (*durations.match, le), window, kept),
        }

    def exists(self) -> str:
        """A selector of the series it is made of."""
        return f"{self.producer.calls}{{{','.join(self.where)}}}"

    def _durations(self) -> tuple[Durations, str]:
        durations = self.producer.durations[self.objective.phase or "total"]
        edge = edge_at(durations, self.objective.threshold_s or 0.0)
        if edge is None:
            raise BadConfigError(str(problem(self.producer, self.objective)))
        return durations, le_matcher(edge)

    def _sum(self, metric: str, more: Matchers, window: str, outcomes: Sequence[Outcome] | None) -> str:
        sets = outcome_matchers(self.producer.outcomes, outcomes) if outcomes is not None else ((),)
        each = (f"increase({metric}{{{','.join((*self.where, *more, *matchers))}}}[{window}])" for matchers in sets)
        # A sum over no series is no value at all, and would take every other with it.
        return f"sum({' or '.join(each)}) or vector(0)"


def le_matcher(edge: float) -> str:
    r"""The matcher of a bucket; whole edges are written 10 or 10.0, and from a million on 1e+06, by version and format.

    >>> le_matcher(10.0), le_matcher(2.5), le_matcher(1_800_000)
    ('le=~"10(\\\\.0)?"', 'le="2.5"', 'le=~"1800000(\\\\.0)?|1.8e.06"')
    """
    if edge != int(edge):
        return f'le="{edge!r}"'
    # "." matches the sign, which would need escaping twice.
    short = "|" + f"{edge:g}".replace("+", ".") if edge >= 1e6 else ""
    return f'le=~"{edge:.0f}(\\\\.0)?{short}"'


def edge_at(durations: Durations, threshold_s: float) -> float | None:
    """The bucket edge, in the producer's unit, that is the threshold; None where it lies between two."""
    same = (edge for edge in durations.edges if abs(edge * durations.unit_s - threshold_s) <= 1e-9 * threshold_s)
    return next(same, None)


def selected(producer: Producer, objective: Objective, vantage: str) -> Matchers:
    """The matchers of the objective's calls as `vantage` (a matcher) saw them."""
    chosen = {key: value for key, value in objective.selection.items() if key != "hop"}
    told = [_matcher(producer, key, value) for key, value in chosen.items()]
    return tuple(matcher for matcher in (matcher_of_hop(producer, objective.hop), *told, vantage) if matcher)


def matcher_of_hop(producer: Producer, hop: str) -> str:
    """The matchers of a hop, or of those of its caller and callee that the producer labels."""
    caller, _, callee = hop.partition(">")
    ends = {"hop": hop} if "hop" in producer.labels else {"caller": caller, "callee": callee}
    return ",".join(_matcher(producer, key, value) for key, value in ends.items() if key in producer.labels)


def _matcher(producer: Producer, key: str, value: str) -> str:
    shape = producer.shapes.get(key)
    if shape is None:
        return f'{producer.labels[key]}="{_escaped(value)}"'
    return f'{producer.labels[key]}=~"{_escaped(shape.replace("{}", re.escape(value)))}"'


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def problem(producer: Producer, objective: Objective) -> str | None:
    """Why the producer's metrics cannot tell whether the objective is kept; None where they can."""
    if objective.phase is None or objective.threshold_s is None:
        return None
    durations = producer.durations.get(objective.phase)
    if durations is None:
        return (
            f'slo "{objective.name}": {producer.name} has no histogram of {objective.phase}, only of '
            f"{', '.join(producer.durations)}; use the rules of another producer for it (--producer meshslo)"
        )
    if edge_at(durations, objective.threshold_s) is not None:
        return None
    edges_s = [edge * durations.unit_s for edge in durations.edges]
    below = [edge for edge in edges_s if edge < objective.threshold_s]
    above = [edge for edge in edges_s if edge > objective.threshold_s]
    near = " or ".join(f"{edge:g}" for edge in [*below[-1:], *above[:1]])
    return (
        f'slo "{objective.name}": threshold_s = {objective.threshold_s:g} lies between the buckets of {durations.metric}, '
        f"which cannot tell the calls there apart; set it to {near}, or ask `meshslo slo`, which knows each call"
    )
