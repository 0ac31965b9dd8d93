"""Outlier detection: after how many failures in a row a pod is ejected, replayed over the calls by pod.

The limit is one more than the longest run of failures of any healthy pod, so that nothing healthy would have been ejected.
What that means for the broken ones follows from Envoy's own algorithm on the same calls. A pod that fails often and not in a
row is caught by its share of failures, where that spares more (`ejection.shares`). Slow pods are found here, since no mesh
sees them: a detector judges the status of the headers and nothing else.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.analysis.ejection.answers import GATEWAY_FAILURE, Answers, answers_of, callee_side
from meshslo.analysis.ejection.limits import BASE_EJECTION_S, INTERVAL_S, LEAST_IN_A_ROW, MOST_IN_A_ROW, longest_run
from meshslo.analysis.ejection.replay import Replay, Rules
from meshslo.analysis.ejection.shares import Choice, choose
from meshslo.analysis.ejection.unlike import Broken, Slow, broken_pods, slow_pods
from meshslo.analysis.interval import goes_on
from meshslo.analysis.policy.settings import SETTINGS

from .observed import Observed
from .recommendation import Current, Effect, Evidence, Recommendation, Status, Target, Value
from .shares import share_settings
from .words import count, seconds, share

FEWEST_OF_POD: Final = 60
"""Answers of each pod without which its runs of failures are not known: of 59 the 95 % quantile has an upper bound."""

COMMON_SHARE: Final = 0.05
"""Where pods that are all alike fail this often, failures follow load or prompts, and ejecting takes capacity away."""

MOST_OUT: Final = 0.5
"""Share of the pods that may be out: the rest has to bear all calls."""

DAY_S: Final = 86400.0

ISTIO: Final = (
    "In Istio the block switches on locality failover too, which the mesh's default enables: calls then prefer pods of their "
    "own zone"
)


class OutlierRecommender:
    """The recommender of outlier detection."""

    kind = "outlier"
    plural = "outliers"

    def recommend(self, observed: Observed) -> Sequence[Recommendation]:
        """Limits, times and percentage of each hop, and the slow pods of its callee, in order."""
        return [item for fleet in fleets(observed) for item in fleet.items()]


def fleets(observed: Observed) -> list["Fleet"]:
    """The pods of every hop's callee, in order."""
    hops = observed.calls.select(pl.col("hop").unique().sort()).collect()["hop"].to_list()
    named = callee_side(observed.calls)
    return [Fleet(observed, Target(hop), named.filter(pl.col("hop") == hop)) for hop in hops]


@dataclass(frozen=True, eq=False)
class Fleet:
    """The pods of one hop's callee; `calls` are those that name the pod."""

    observed: Observed
    target: Target
    calls: pl.DataFrame

    @cached_property
    def answers(self) -> Answers:
        """What a detector would have seen of them."""
        return answers_of(self.calls)

    @cached_property
    def broken(self) -> list[Broken]:
        """Pods that surely fail more than the others."""
        return broken_pods(self.answers)

    @cached_property
    def slow(self) -> list[Slow]:
        """Pods that are surely slower at the same work."""
        return slow_pods(self.calls, confidence=self.observed.config.objectives.confidence)

    def items(self) -> Iterator[Recommendation]:
        """The settings, and the slow pods."""
        unknown = self.unknown()
        if unknown is not None:
            yield self._item("consecutive_5xx", None, unknown)
        else:
            yield from self._settings()
        if self.slow:
            yield self._slow_pods()

    def unknown(self) -> str | None:
        """Why no limit is recommended; None where one is."""
        pods = self.answers.pods
        if self.calls.is_empty():
            needed = f"{FEWEST_OF_POD} more that do are needed for each"
            return f"no call of {self.target.callee} names its pod (k8s.pod.name): {needed}"
        if len(pods) < 2:
            return f"{self.target.callee} has one pod, {pods[0]}: with it out nobody answers; more pods are needed"
        asked = np.bincount(self.answers.pod, minlength=len(pods))
        if asked.min() < FEWEST_OF_POD:
            more = f"{count(FEWEST_OF_POD - int(asked.min()))} more calls"
            return f"{more} of {pods[int(asked.argmin())]} are needed to know how often it fails in a row"
        failed = float(self.answers.failed.mean())
        if not self.broken and failed > COMMON_SHARE:
            return (
                f"{share(failed)} of the answers fail and no pod fails more than the others: it is no pod's fault, and "
                "ejecting would take capacity from the rest; look at load (breakers) and prompts, and at more calls"
            )
        if self.longest_run > MOST_IN_A_ROW:
            return f"healthy pods fail up to {self.longest_run} times in a row: no limit tells a broken one; more calls may"
        return None

    # The limit

    @cached_property
    def longest_run(self) -> int:
        """Failures in a row of any pod that is not broken."""
        return self._longest(self.answers.failed)

    def _longest(self, failed: NDArray[np.bool_]) -> int:
        broken = {each.pod for each in self.broken}
        healthy = [n for n, pod in enumerate(self.answers.pods) if pod not in broken]
        return max((longest_run(failed[self.answers.pod == n]) for n in healthy), default=0)

    @cached_property
    def rules(self) -> Rules:
        """What is proposed for failures in a row."""
        gateway = max(LEAST_IN_A_ROW, self._longest(self.answers.kind == GATEWAY_FAILURE) + 1)
        every = max(LEAST_IN_A_ROW, self.longest_run + 1)
        seen = bool((self.answers.kind == GATEWAY_FAILURE).any())
        return Rules(every, gateway if seen and gateway < every else None, INTERVAL_S, BASE_EJECTION_S, self._percent())

    def _percent(self) -> int:
        """Enough for one pod, and at most for half of them."""
        pods = len(self.answers.pods)
        return math.ceil(100.0 * max(1, math.floor(pods * MOST_OUT)) / pods)

    @cached_property
    def choice(self) -> Choice:
        """The rules that are proposed, and what they would have done."""
        return choose(self.answers, self.broken, self.rules)

    @property
    def outcome(self) -> Replay:
        """The same, of the rules that are proposed."""
        return self.choice.outcome

    def _settings(self) -> Iterator[Recommendation]:
        rules = self.rules
        yield self._item("consecutive_5xx", rules.consecutive_5xx, self._why(), self._effects())
        if rules.consecutive_gateway_failures is not None:
            most = rules.consecutive_gateway_failures - 1
            fewer = f"502, 503, 504 and resets come in shorter runs at healthy pods: {most} at most"
            yield self._item("consecutive_gateway_failures", rules.consecutive_gateway_failures, fewer)
        unseen = "Envoy's and Istio's own; how long a pod stays broken does not follow from calls"
        yield self._item("interval", rules.interval_s, f"how often ejected pods are looked at: {unseen}")
        yield self._item("base_ejection_time", rules.base_ejection_time_s, f"{unseen}{self._comebacks()}")
        pods = len(self.answers.pods)
        out = math.floor(pods * rules.max_ejection_percent / 100.0 + 1e-9)
        percent = (
            f"{out} of {pods} pods may be out: with less than one nothing is ever ejected, and the rest has to bear all calls"
        )
        yield self._item("max_ejection_percent", int(rules.max_ejection_percent), percent)
        for setting, value, reason in share_settings(self.answers, self.broken, self.choice):
            yield self._item(setting, value, reason)

    def _why(self) -> str:
        answers = self.answers
        often = {0: "failed none", 1: "never failed two in a row"}.get(
            self.longest_run, f"failed at most {self.longest_run} in a row"
        )
        healthy = f"healthy pods {often} of {count(len(answers.at_s))} answers"
        none = f"no broken pod was seen among {len(answers.pods)}: what it would do for one is not known"
        found = "; ".join(map(self._what_happens, self.broken)) or none
        blind = f"{self._broken_streams()}; a pod that answers slowly is never ejected. {ISTIO}"
        return f"{healthy}: so no limit above that ejects one; {found}{blind}"

    def _what_happens(self, pod: Broken) -> str:
        outs = [each for each in self.outcome.ejections if each.pod == pod.pod]
        failed = f"{pod.pod} failed {share(pod.share)} of its answers, the others {share(pod.others_share)}"
        if not outs:
            return f"{failed}, and would not have been ejected: its failures do not come in a row"
        by = "" if outs[0].rule.startswith("consecutive") else f" for its {outs[0].rule.replace('_', ' ')}"
        return f"{failed}, and would have been ejected{by} {seconds(self._time_to_eject(pod, outs[0].at_s))} after it began"

    @staticmethod
    def _time_to_eject(pod: Broken, at_s: float) -> float:
        return max(0.0, at_s - pod.from_s)

    def _comebacks(self) -> str:
        back = sum(each.until_s is not None for each in self.outcome.ejections)
        return f"; ejected pods would have been let back in {back} times, to fail again or not" if back else ""

    def _broken_streams(self) -> str:
        midway = self.calls.filter((pl.col("outcome") == "error") & (pl.col("status_code") < 400)).height
        if not midway:
            return ""
        return f"; {count(midway)} streams broke midway: each had answered 200, which clears the count, so they seldom eject"

    def _effects(self) -> Mapping[str, Effect]:
        broken = {each.pod for each in self.broken}
        false = sum(each.pod not in broken for each in self.outcome.ejections)
        days = max(self.answers.span_s, 1.0) / DAY_S
        # A run longer than any that was seen: with none in so many healthy answers, by the rule of three.
        healthy = sum(int((self.answers.pod == n).sum()) for n, pod in enumerate(self.answers.pods) if pod not in broken)
        rate = 1.0 - float(goes_on(np.array([float(healthy)]), self.observed.config.objectives.confidence)[0])
        effects = {
            "false_ejections_per_day": Effect(0.0, false / days, after_low=0.0, after_high=(false + rate * healthy) / days),
            "failed_calls": Effect(float(self.answers.failed.sum()), float(self.answers.failed.sum() - self.outcome.spared)),
        }
        firsts = {each.pod: each.at_s for each in reversed(self.outcome.ejections)}
        times = [self._time_to_eject(pod, firsts[pod.pod]) for pod in self.broken if pod.pod in firsts]
        if times:
            effects["time_to_eject_s"] = Effect(None, max(times), after_low=min(times), after_high=max(times))
        return effects

    # Slow pods

    def _slow_pods(self) -> Recommendation:
        said = "; ".join(
            f"{each.pod} takes {each.ratio:.2f} times as long as the others with the same work "
            f"({each.low:.2f} to {each.high:.2f}, {count(each.calls)} calls)"
            for each in self.slow
        )
        why = (
            "no mesh ejects by latency. Least-request balancing and Linkerd's EWMA send a slow pod fewer calls, and that is "
            "all; a per-try timeout that turns slowness into a 504 ejects healthy pods for one long prompt. Restart or drain it"
        )
        return self._item("slow_pods", ",".join(each.pod for each in self.slow), f"{said}. {why}")

    # Common

    def _item(
        self, setting: str, value: Value | None, reason: str, effect: Mapping[str, Effect] | None = None
    ) -> Recommendation:
        current = self._current(setting)
        calls = self.calls.height or self.observed.seen.get(self.target.hop, 0)
        cut = int(self.calls["outcome"].is_in(["timeout", "cancelled"]).sum())
        return Recommendation.of(
            setting,
            value,
            target=self.target,
            current=current,
            status=_status(setting, value, current),
            confidence=self.observed.config.objectives.confidence,
            reason=reason,
            evidence=Evidence(calls, cut, self.observed.window_s),
            effect=effect,
        )

    def _current(self, setting: str) -> Current | None:
        placed = self.observed.deployed.find(setting, self.target.callee)
        return Current.read(placed)


def _status(setting: str, value: Value | None, current: Current | None) -> Status:
    if value is None:
        return "not_identifiable"
    if SETTINGS[setting].unit == "names":
        return "not_expressible"
    return "keep" if current is not None and float(current.value) == float(value) else "change"


RECOMMENDER: Final = OutlierRecommender()
