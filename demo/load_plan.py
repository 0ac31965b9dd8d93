"""The requests of a run, drawn once from a seed: bursts, three tenants, two models, users who leave."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .settings import DemoSettings

MAX_TOKENS: Final[dict[str, int]] = {"small": 320, "large": 224}
"""The longest answer each model gives."""

BURST_EVERY_S = 12.0
BURST_LASTS_S = 2.5
BURST_FACTOR = 2.5
STREAMING_RATIO = 0.75
LEAVING_RATIO = 0.02
POISON_RATIO = 0.015


@dataclass(frozen=True)
class Tenant:
    """A customer: how long its prompts and answers are (median tokens) and how often it asks the large model."""

    name: str
    share: float
    prompt_tokens: int
    answer_tokens: int
    large_ratio: float


TENANTS: Final = (
    Tenant("acme", share=0.5, prompt_tokens=250, answer_tokens=38, large_ratio=0.40),
    Tenant("bolt", share=0.3, prompt_tokens=900, answer_tokens=22, large_ratio=0.50),
    Tenant("corp", share=0.2, prompt_tokens=500, answer_tokens=60, large_ratio=0.60),
)


@dataclass(frozen=True)
class Ask:
    """One request a user will make, `at_s` after the run's start; `leaves_s` is when an impatient user closes the page."""

    number: int
    at_s: float
    tenant: str
    model: str
    streaming: bool
    prompt_tokens: int
    answer_tokens: int
    leaves_s: float | None
    poison: bool
    """A prompt that brings the model's worker down, each time it is tried."""


def plan_load(settings: DemoSettings) -> list[Ask]:
    """The same list of requests for the same settings, in order of time."""
    dice = random.Random(settings.seed)
    return [_ask(number, at_s, dice, settings.pace) for number, at_s in enumerate(_arrivals(settings, dice))]


def _arrivals(settings: DemoSettings, dice: random.Random) -> Sequence[float]:
    """Exactly `requests` times, thinned so that bursts come `BURST_FACTOR` times as thick."""
    times: list[float] = []
    while len(times) < settings.requests:
        at_s = dice.uniform(0, settings.seconds)
        bursting = at_s % BURST_EVERY_S < BURST_LASTS_S
        if bursting or dice.random() < 1 / BURST_FACTOR:
            times.append(at_s)
    return sorted(times)


def _ask(number: int, at_s: float, dice: random.Random, pace: float) -> Ask:
    tenant = dice.choices(TENANTS, [tenant.share for tenant in TENANTS])[0]
    model = "large" if dice.random() < tenant.large_ratio else "small"
    return Ask(
        number=number,
        at_s=at_s,
        tenant=tenant.name,
        model=model,
        streaming=dice.random() < STREAMING_RATIO,
        prompt_tokens=_around(dice, tenant.prompt_tokens, 0.4),
        answer_tokens=min(_around(dice, tenant.answer_tokens, 0.75), MAX_TOKENS[model]),
        leaves_s=dice.uniform(0.3, 2.0) * pace if dice.random() < LEAVING_RATIO else None,
        poison=dice.random() < POISON_RATIO,
    )


def _around(dice: random.Random, median: int, spread: float) -> int:
    return max(1, round(dice.lognormvariate(math.log(median), spread)))
