"""Loads of the scenarios: streams of one model, drawn once from a seed."""

import math
import random
from collections.abc import Callable
from typing import Final

from meshslo.demo.load_plan import Ask

WHOLE_S: Final = 22.0
"""How long the requests of one run keep coming: two runs and what lies between fit in 90 s, on a busy machine too."""


def plan_asks(seconds: float, rate_per_s: Callable[[float], float], *, tokens: int = 20, seed: int = 7) -> list[Ask]:
    """Requests for so long, their rate following the share of the time that has passed."""
    dice = random.Random(seed)
    asks: list[Ask] = []
    at_s = 0.0
    while (at_s := at_s + dice.expovariate(rate_per_s(at_s / seconds))) < seconds:
        asks.append(_ask(len(asks), at_s, dice, tokens))
    return asks


def _ask(number: int, at_s: float, dice: random.Random, tokens: int) -> Ask:
    return Ask(
        number=number,
        at_s=at_s,
        tenant="acme",
        model="small",
        streaming=True,
        prompt_tokens=round(dice.lognormvariate(math.log(900), 0.15)),
        answer_tokens=max(4, round(dice.lognormvariate(math.log(tokens), 0.3))),
        leaves_s=None,
        poison=False,
    )
