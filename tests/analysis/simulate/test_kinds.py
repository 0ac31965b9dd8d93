"""What a call row says of an attempt's end, and which ends Envoy repeats."""

from typing import Any

import numpy as np
import pytest

from meshslo.analysis.simulate.kinds import KIND, TIMER, Kind, Timer, repeatable
from tests.support.calls import make_call, make_calls

ENDS: list[tuple[dict[str, Any], Kind]] = [
    ({}, Kind.OK),
    ({"outcome": "timeout", "response_flags": "UT", "status_code": 504}, Kind.CUT),
    ({"outcome": "timeout", "response_flags": "SI", "first_byte_s": 0.1, "status_code": 200}, Kind.CUT),
    ({"outcome": "timeout", "status_code": 504, "first_byte_s": 0.9, "vantage": "proxy_out"}, Kind.STATUS),
    ({"outcome": "timeout", "status_code": 504, "first_byte_s": 0.9, "vantage": "client"}, Kind.CUT),
    ({"outcome": "timeout"}, Kind.CUT),
    ({"outcome": "cancelled", "response_flags": "DC"}, Kind.LEFT),
    ({"outcome": "rejected", "response_flags": "UF"}, Kind.CONNECT),
    ({"outcome": "rejected"}, Kind.CONNECT),
    ({"outcome": "rejected", "response_flags": "UO", "status_code": 503}, Kind.REFUSED),
    ({"outcome": "rejected", "status_code": 429, "first_byte_s": 0.1}, Kind.STATUS),
    ({"outcome": "error", "response_flags": "UC"}, Kind.RESET),
    ({"outcome": "error", "response_flags": "UPE", "status_code": 200, "first_byte_s": 0.1}, Kind.BROKEN),
    ({"outcome": "error", "status_code": 503, "first_byte_s": 0.1}, Kind.STATUS),
    ({"outcome": "error", "grpc_status": 14, "status_code": 200, "first_byte_s": 0.1}, Kind.STATUS),
    ({"outcome": "error"}, Kind.RESET),
]


@pytest.mark.parametrize(("columns", "kind"), ENDS)
def test_the_end_of_a_row(columns: dict[str, Any], kind: Kind) -> None:
    assert make_calls([make_call(**columns)]).select(KIND.alias("kind"))["kind"].to_list() == [kind]


@pytest.mark.parametrize(
    ("flags", "timer"), [("UT", Timer.TOTAL), ("SI", Timer.IDLE), ("UMSDR", Timer.STREAM), ("URX,UT", Timer.TOTAL)]
)
def test_the_timer_of_a_row(flags: str, timer: Timer) -> None:
    row = make_calls([make_call(outcome="timeout", response_flags=flags)])
    assert row.select(TIMER.alias("timer"))["timer"].to_list() == [timer]


REPEATED: list[tuple[str, Kind, int, int, bool]] = [
    # Source: Envoy, router filter, x-envoy-retry-on.
    ("connect-failure", Kind.CONNECT, 0, 0, True),
    ("connect-failure", Kind.RESET, 0, 0, False),
    ("reset-before-request", Kind.CONNECT, 0, 0, True),
    ("reset-before-request", Kind.RESET, 0, 0, False),
    ("reset", Kind.RESET, 0, 0, True),
    ("reset", Kind.STATUS, 503, 0, False),
    ("5xx", Kind.RESET, 0, 0, True),
    ("5xx", Kind.CONNECT, 0, 0, True),
    ("5xx", Kind.STATUS, 500, 0, True),
    ("5xx", Kind.STATUS, 429, 0, False),
    ("gateway-error", Kind.STATUS, 500, 0, False),
    ("gateway-error", Kind.STATUS, 504, 0, True),
    ("gateway-error", Kind.RESET, 0, 0, True),
    ("retriable-4xx", Kind.STATUS, 409, 0, True),
    ("retriable-4xx", Kind.STATUS, 404, 0, False),
    ("429", Kind.STATUS, 429, 0, True),
    ("unavailable", Kind.STATUS, 200, 14, True),
    ("unavailable", Kind.STATUS, 200, 13, False),
    ("5xx,reset", Kind.BROKEN, 200, 0, False),
    ("5xx,reset", Kind.REFUSED, 503, 0, False),
    ("5xx,reset", Kind.OK, 200, 0, False),
    ("5xx,reset", Kind.LEFT, 0, 0, False),
]


@pytest.mark.parametrize(("conditions", "kind", "code", "grpc", "wanted"), REPEATED)
def test_what_is_repeated(conditions: str, kind: Kind, code: int, grpc: int, wanted: bool) -> None:
    found = repeatable(frozenset(conditions.split(",")), np.array([kind]), np.array([code]), np.array([grpc]))
    assert found.tolist() == [wanted]
