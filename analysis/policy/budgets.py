"""The interval that recommended retry budgets are counted over, and what their floor admits in one."""

import math
from typing import Final

BUDGET_INTERVAL_S: Final = 10.0
"""What meshes count a budget over: Linkerd's ttl, the Gateway API's interval."""


def least_repetitions(per_s: float) -> int:
    """How many repetitions a floor of so many a second admits in an interval, one at least.

    >>> least_repetitions(0.0), least_repetitions(0.1), least_repetitions(0.25)
    (1, 1, 3)
    """
    return max(1, math.ceil(per_s * BUDGET_INTERVAL_S - 1e-9))
