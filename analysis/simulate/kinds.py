"""How one attempt ends by itself, and which timer of a proxy can end it: small integers, so that millions fit in arrays."""

from enum import IntEnum
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Small = NDArray[np.int8]


class Kind(IntEnum):
    """The ending of an attempt, or of a request, as its proxy sees it."""

    OK = 0
    STATUS = 1
    """An answer whose status (or gRPC status in its headers) says that it failed."""
    CONNECT = 2
    """No connection: the callee has not seen it."""
    RESET = 3
    """Broken off before headers."""
    BROKEN = 4
    """Broken off after headers were passed on: nothing repeats that."""
    REFUSED = 5
    """The proxy itself refused (breaker, no host, rate limit): nothing repeats that either."""
    CUT = 6
    """A timer ended it."""
    LEFT = 7
    """The caller went away."""


class Timer(IntEnum):
    """What cut a call. A call that failed since a timer cut another further in carries that one's."""

    NONE = 0
    TOTAL = 1
    IDLE = 2
    PER_TRY = 3
    STREAM = 4


TIMER_NAMES: Final[dict[Timer, str]] = {
    Timer.TOTAL: "total_timeout",
    Timer.IDLE: "idle_gap_timeout",
    Timer.PER_TRY: "per_try_timeout",
    Timer.STREAM: "max_stream_duration",
}

_FLAGS: Final = pl.col("response_flags").fill_null("").str.split(",")
_STATUS: Final = pl.col("status_code").fill_null(0)


def _has(*flags: str) -> pl.Expr:
    return _FLAGS.list.set_intersection(list(flags)).list.len() > 0


def _is(outcome: str) -> pl.Expr:
    return pl.col("outcome") == outcome


# A 504 that an upstream passes on is an answer; only the proxy's own flag, or a client that waited in vain, is a timer here.
_PASSED_ON: Final = (_STATUS >= 400) & pl.col("first_byte_s").is_not_null() & (pl.col("vantage") != "client")
_TIMER_FLAG: Final = _has("UT", "SI", "UMSDR", "DT")
_NO_ANSWER: Final = (_STATUS == 0) & pl.col("grpc_status").fill_null(0).eq(0) & ~_has("UO", "UH", "RL", "RLSE", "NR", "NC")
_BEFORE_HEADERS: Final = pl.col("first_byte_s").is_null() & ~_STATUS.is_between(200, 399)

KIND: Final = (
    pl.when(_is("ok"))
    .then(Kind.OK)
    .when(_is("timeout") & (_TIMER_FLAG | ~_PASSED_ON))
    .then(Kind.CUT)
    .when(_is("timeout"))
    .then(Kind.STATUS)
    .when(_is("cancelled"))
    .then(Kind.LEFT)
    .when(_is("rejected") & (_has("UF") | _NO_ANSWER))
    .then(Kind.CONNECT)
    .when(_is("rejected") & ((_STATUS < 400) & pl.col("grpc_status").fill_null(0).eq(0) | _has("UO", "UH", "RL", "RLSE")))
    .then(Kind.REFUSED)
    .when(_is("rejected"))
    .then(Kind.STATUS)
    .when(_has("UC", "UR", "UPE", "LR") & _BEFORE_HEADERS)
    .then(Kind.RESET)
    .when((_STATUS >= 400) | pl.col("grpc_status").fill_null(0).ne(0))
    .then(Kind.STATUS)
    .when(_BEFORE_HEADERS)
    .then(Kind.RESET)
    .otherwise(Kind.BROKEN)
    .cast(pl.Int8)
)
"""The kind of a call row."""

TIMER: Final = (
    pl.when(KIND != Kind.CUT)
    .then(Timer.NONE)
    .when(_has("SI"))
    .then(Timer.IDLE)
    .when(_has("UMSDR", "DT"))
    .then(Timer.STREAM)
    .otherwise(Timer.TOTAL)
    .cast(pl.Int8)
)
"""The timer that cut a call row, as far as its own flags tell; that of one try is told by what came after it."""

_GRPC: Final = {"cancelled": 1, "deadline-exceeded": 4, "internal": 13, "resource-exhausted": 8, "unavailable": 14}


def repeatable(conditions: frozenset[str], kind: NDArray[Any], code: NDArray[Any], grpc: NDArray[Any]) -> Flags:
    """Which endings Envoy repeats under the `retry_on` conditions; a number among them is a status code.

    A per-try timeout counts as a reset: pass it as `Kind.RESET`.
    Source: Envoy, RetryStateImpl::wouldRetryFromHeaders and wouldRetryFromReset; router filter docs, x-envoy-retry-on.

    >>> repeatable(frozenset({"connect-failure", "503"}), np.array([2, 3, 1]), np.array([0, 0, 503]), np.zeros(3)).tolist()
    [True, False, True]
    """
    any_reset = bool(conditions & {"5xx", "gateway-error", "reset"})
    wanted = (kind == Kind.RESET) & any_reset
    wanted |= (kind == Kind.CONNECT) & (any_reset or bool(conditions & {"connect-failure", "reset-before-request"}))
    codes = [int(word) for word in conditions if word.isdigit()]
    if "gateway-error" in conditions:
        codes += [502, 503, 504]
    if "retriable-4xx" in conditions:
        codes.append(409)
    by_status = np.isin(code, codes) | np.isin(grpc, [_GRPC[word] for word in conditions if word in _GRPC])
    if "5xx" in conditions:
        by_status |= code >= 500
    return np.asarray(wanted | ((kind == Kind.STATUS) & by_status), dtype=bool)
