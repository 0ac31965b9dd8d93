"""Ejection by shares of failures, in settings and words: what is proposed of it, and why."""

from collections.abc import Iterator, Sequence
from typing import Final

from meshslo.analysis.ejection.answers import Answers
from meshslo.analysis.ejection.replay import FailurePercentage, Rules, SuccessRate
from meshslo.analysis.ejection.shares import ENVOYS_OWN, Choice, Intervals, false_ejections, healthy
from meshslo.analysis.ejection.unlike import Broken

from .recommendation import Value
from .words import count, seconds

ON, OFF = 100, 0
"""Pods that are ejected of those that are caught, of 100."""

ALONE: Final = "without the other rule on shares, since a pod that both catch Envoy counts as two that are out"

Proposal = tuple[str, Value, str]
"""Setting, value, reason."""


def share_settings(answers: Answers, broken: Sequence[Broken], choice: Choice) -> Iterator[Proposal]:
    """The settings of the rules on shares: Envoy's own off unless it is the better one, and those that are worth it."""
    rules = choice.rules
    yield "enforcing_success_rate", OFF if rules.success_rate is None else ON, _success_rate_why(answers, broken, choice)
    if rules.success_rate is not None:
        yield from _success_rate(answers, rules.success_rate)
    if rules.failure_percentage is not None:
        yield from _failure_percentage(rules, rules.failure_percentage, choice)


def _success_rate(answers: Answers, rule: SuccessRate) -> Iterator[Proposal]:
    own = f"{ENVOYS_OWN.stdev_factor:g}, Envoy's own,"
    factor = (
        f"deviations below the mean, in thousandths: the least from {own} on that would have caught no healthy pod; of "
        f"{len(answers.pods)} pods one alone is never more than {(len(answers.pods) - 1) ** 0.5:.3g} below"
    )
    yield "success_rate_stdev_factor", round(1000 * rule.stdev_factor), factor
    yield "success_rate_minimum_hosts", rule.minimum_hosts, "Envoy's own: of fewer pods none lies far enough below the mean"
    yield "success_rate_request_volume", rule.request_volume, _volume_why(rule.request_volume)


def _failure_percentage(rules: Rules, rule: FailurePercentage, choice: Choice) -> Iterator[Proposal]:
    threshold = (
        f"half-way between the worst {seconds(rules.interval_s)} of a healthy pod and what broken ones fail; it spares "
        f"{count(choice.gain)} failures more than failures in a row alone; {ALONE}"
    )
    yield "failure_percentage_threshold", rule.threshold, threshold
    left = "as many pods as are left when all that may be out are: with fewer that are busy none is judged"
    yield "failure_percentage_minimum_hosts", rule.minimum_hosts, left
    yield "failure_percentage_request_volume", rule.request_volume, _volume_why(rule.request_volume)


def _volume_why(volume: int) -> str:
    return f"three of four intervals have {volume} answers of a pod or more; of fewer a share says little"


def _success_rate_why(answers: Answers, broken: Sequence[Broken], choice: Choice) -> str:
    """Why ejection by success rate, which Envoy does unasked, is on or off."""
    if choice.rules.success_rate is not None:
        return (
            f"it spares {count(choice.gain)} failures more than failures in a row alone, and would have ejected no healthy "
            f"pod; {ALONE}"
        )
    intervals, own = Intervals.of(answers, choice.rules.interval_s), ENVOYS_OWN
    unasked = f"Envoy does it unasked ({own.stdev_factor:g} deviations below the mean)"
    false = false_ejections(intervals, healthy(answers, broken), own)
    if false:
        return f"{unasked}: healthy pods would have been ejected {count(false)} times, for being the worst of good ones"
    if len(answers.pods) < own.minimum_hosts or not (intervals.asked >= own.request_volume).any():
        few = f"{own.minimum_hosts} pods with {own.request_volume} answers each in {seconds(choice.rules.interval_s)}"
        return f"{unasked} and never had the {few} that it needs: off, since it would begin with more load, unjudged"
    return f"{unasked}: it spares no more failures here, and where failures are rare one alone ejects a healthy pod"
