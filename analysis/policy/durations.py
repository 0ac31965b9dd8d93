"""Durations as meshes write them. Each grammar differs, and a wrong one is rejected or, worse, ignored.

Sources: protobuf JSON mapping of Duration (Envoy), Istio's CRDs (Go durations of at least 1 ms), GEP-2257 (Gateway API),
Linkerd's annotation parser (one whole number and one unit).
"""

import math
import re
from typing import Final

from meshslo.telemetry.errors import BadInputError

_UNITS_S: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "d": 86400.0}
_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|us|µs|ns|h|m|s|d)")
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+")


def parse_duration_s(text: str) -> float:
    """Seconds in a mesh duration such as "250ms", "1.5s" or "1m30s"; BadInputError names the text it cannot read.

    >>> parse_duration_s("250ms"), parse_duration_s("1m30s"), parse_duration_s("0s")
    (0.25, 90.0, 0.0)
    """
    if not _WHOLE.fullmatch(text):
        raise BadInputError(f'"{text}" is no duration; write a number and a unit, such as 1.5s or 250ms')
    # To the nanosecond: sums of decimal fractions are off in the last digit.
    return round(sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text)), 9)


def decimal_duration(value_s: float) -> str:
    """The form Envoy and Istio read: decimal seconds to the nearest millisecond, at least 1 ms (Istio rejects less).

    >>> decimal_duration(1.5), decimal_duration(45.0), decimal_duration(0.0031)
    ('1.5s', '45s', '0.003s')
    """
    return f"{_whole_ms(value_s) / 1000:.3f}".rstrip("0").rstrip(".") + "s"


def whole_duration(value_s: float) -> str:
    """The form Linkerd reads, and Gateway API too: one whole number of at most five digits, one unit; rounded up.

    Gateway API allows "1m30s", but Linkerd discards it and then has no timeout at all, so one unit serves both.

    >>> whole_duration(1.5), whole_duration(90.0), whole_duration(400.5), whole_duration(200_000.0)
    ('1500ms', '90s', '401s', '3334m')
    """
    ms = _whole_ms(value_s)
    if ms % 1000 and ms <= 99_999:
        return f"{ms}ms"
    seconds = math.ceil(ms / 1000)
    return f"{seconds}s" if seconds <= 99_999 else f"{math.ceil(seconds / 60)}m"


def _whole_ms(value_s: float) -> int:
    if not 0 < value_s < math.inf:
        raise BadInputError(f"{value_s} s is no timeout; leave the setting out to have none")
    return max(1, round(value_s * 1000))


def round_up(value: float, digits: int = 2) -> float:
    """`value` > 0 rounded up to `digits` significant digits, so that a limit never undercuts its estimate.

    >>> round_up(41.2), round_up(0.0801), round_up(9.0), round_up(123.0)
    (42.0, 0.081, 9.0, 130.0)
    """
    if value <= 0:
        return 0.0
    exponent = digits - 1 - math.floor(math.log10(value))
    # The slack keeps 9.0 at 9.0 where binary fractions make it 9.000000000000002.
    return float(f"{math.ceil(value * 10.0**exponent * (1 - 1e-12)) * 10.0**-exponent:.{digits}g}")
