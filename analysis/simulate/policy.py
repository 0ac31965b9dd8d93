"""The policy of each group of calls: what manifests or recommendations say, over what is at work now."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from meshslo.analysis.policy.budgets import BUDGET_INTERVAL_S
from meshslo.analysis.policy.deployed import Deployed, read_deployed
from meshslo.analysis.policy.limits import (
    DEFAULT_BASE_S,
    DEFAULT_LEAST,
    DEFAULT_RATIO,
    LONGEST_BASES,
    UNLIMITED,
    read_limits,
)
from meshslo.analysis.recommend import Recommendations
from meshslo.analysis.recommend.recommendation import Recommendation, Target

Value = float | int | str
Settings = Mapping[str, Value]
"""Values by the names of `NAMES`; what is absent is off."""

BUDGET: Final = frozenset({"retry_budget_ratio", "retry_budget_min_per_s", "min_retry_concurrency", "retry_budget_interval"})
"""Settings that make one budget."""


NAMES: Final = {
    **dict.fromkeys(
        (
            "total_timeout", "idle_gap_timeout", "per_try_timeout", "retry_attempts", "retry_on", "retry_budget_ratio",
            "retry_budget_min_per_s", "max_retries",
        ),
        "deployed",
    ),
    **dict.fromkeys(
        ("max_stream_duration", "retry_back_off", "longest_retry_back_off", "min_retry_concurrency", "retry_budget_interval"),
        "extra",
    ),
}  # fmt: skip
"""The settings that a policy is made of, and which part of a `Mesh` holds them."""


@dataclass(frozen=True)
class Limit:
    """How many retries a proxy may have under way at a time for one callee.

    With a `ratio`: that share of the requests active at that moment, or (interval_s > 0) started in the last so many seconds,
    but at least `least`. Without: `least` is the breaker's `max_retries`.
    """

    least: float = math.inf
    ratio: float | None = None
    interval_s: float = 0.0


@dataclass(frozen=True)
class Policy:
    """What a proxy enforces on one route; inf is a timer that is off."""

    total_s: float = math.inf
    idle_s: float = math.inf
    per_try_s: float = math.inf
    stream_s: float = math.inf
    retries: int = 0
    retry_on: frozenset[str] = frozenset()
    back_off_s: float = DEFAULT_BASE_S
    longest_back_off_s: float = DEFAULT_BASE_S * LONGEST_BASES
    limit: Limit = Limit()

    @classmethod
    def of(cls, settings: Settings) -> "Policy":
        """The policy that settings make."""

        def off_or(name: str) -> float:
            return float(settings.get(name, 0)) or math.inf

        base_s = float(settings.get("retry_back_off", DEFAULT_BASE_S))
        words = str(settings.get("retry_on", "")).split(",")
        return cls(
            total_s=off_or("total_timeout"),
            idle_s=off_or("idle_gap_timeout"),
            per_try_s=off_or("per_try_timeout"),
            stream_s=off_or("max_stream_duration"),
            retries=int(settings.get("retry_attempts", 0)),
            retry_on=frozenset(word.strip() for word in words if word.strip()),
            back_off_s=base_s,
            longest_back_off_s=float(settings.get("longest_retry_back_off", base_s * LONGEST_BASES)),
            limit=_limit(settings),
        )


def _limit(settings: Settings) -> Limit:
    ratio, per_s = settings.get("retry_budget_ratio"), settings.get("retry_budget_min_per_s")
    if ratio is None and per_s is None:
        return Limit(float(settings.get("max_retries", UNLIMITED)))
    interval_s = float(settings.get("retry_budget_interval", BUDGET_INTERVAL_S if per_s is not None else 0.0))
    least = max(1.0, math.ceil(float(per_s) * interval_s - 1e-9)) if per_s is not None else DEFAULT_LEAST
    return Limit(
        float(settings.get("min_retry_concurrency", least)), float(DEFAULT_RATIO if ratio is None else ratio), interval_s
    )


@dataclass(frozen=True)
class Mesh:
    """What manifests set: timeouts and retries, and, in `extra`, what no recommendation is about (see `limits`)."""

    deployed: Deployed = field(default_factory=Deployed)
    extra: Deployed = field(default_factory=Deployed)

    def knows(self, target: Target) -> bool:
        """Whether a route to the target's callee was read, so that what is absent is known to be off."""
        return self.deployed.knows(target.callee)

    def settings(self, target: Target) -> Settings:
        """What was read for a hop's route and model; of a callee whose routes were not read, its budget and breaker alone."""
        found: dict[str, Value] = {}
        for name, source in NAMES.items():
            placed = getattr(self, source).find(name, target.callee, target.route, target.model)
            if placed is not None:
                found[name] = placed.value
        return found

    @property
    def callees(self) -> str:
        """Whom it is about, in words."""
        routes = {name for rule in self.deployed.routes for name in (rule.callee, *rule.hosts)}
        return ", ".join(sorted((routes | {rule.callee for rule in self.deployed.clusters}) - {""}))


def recommended(advice: Recommendations, target: Target, base: Settings) -> Settings:
    """`base` with what is recommended for the target: of its model, else of its route, else of its hop."""
    found: dict[str, Value | None] = {}
    for item in sorted(advice.items, key=_how_specific):
        if _covers(item.target, target) and item.setting in NAMES:
            found[item.setting] = item.wanted
    return _over(base, {name: value for name, value in found.items() if value is not None})


def _over(base: Settings, wanted: Settings) -> Settings:
    """`wanted`, and what of `base` it says nothing of. A budget's floor and interval go with it: they are no one else's."""
    if any(name.startswith("retry_budget") for name in wanted):
        base = {name: value for name, value in base.items() if name not in BUDGET}
    return {**base, **wanted}


def stated_now(advice: Recommendations, target: Target, base: Settings) -> Settings:
    """`base` with what the advice says is at work now."""
    found = {
        item.setting: item.current.value
        for item in sorted(advice.items, key=_how_specific)
        if _covers(item.target, target) and item.current is not None
    }
    return {**base, **found}


def _how_specific(item: Recommendation) -> tuple[bool, bool]:
    return item.target.route is not None, item.target.model is not None


def _covers(rule: Target, target: Target) -> bool:
    return rule.hop == target.hop and rule.route in (None, target.route) and rule.model in (None, target.model)


def policies(targets: Sequence[Target], proposed: Mesh | Recommendations, now: Mapping[Target, Settings]) -> list[Policy]:
    """The policy of each target; one that the proposal does not know stays as it is `now`."""
    found = []
    for target in targets:
        base = now.get(target, {})
        if isinstance(proposed, Recommendations):
            settings = recommended(proposed, target, base)
        else:
            told = proposed.settings(target)
            settings = told if proposed.knows(target) else _over(base, told)
        found.append(Policy.of(settings))
    return found


def read_mesh(texts: Mapping[str, str], *, model_header: str = "x-model") -> Mesh:
    """What manifests (file name -> text) set; BadInputError names file and line of what cannot be read."""
    return Mesh(read_deployed(texts, model_header=model_header), read_limits(texts, model_header=model_header))
