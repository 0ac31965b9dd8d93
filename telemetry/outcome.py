"""The outcome rules: what a status, a response flag or an error says about how a call ended.

The first evidence that speaks decides: the instrumentation's own word, then the proxy's flags, then gRPC and HTTP status.
A truncated stream is logged as 200, so a flag always beats a status.
Sources: Envoy `%RESPONSE_FLAGS%` (docs, access log usage), seen on Envoy 1.40; gRPC status codes.
"""

from typing import Final

from .vocabulary import Outcome

FLAG_OUTCOMES: Final[dict[str, Outcome]] = {
    # A timer cut it.
    "UT": "timeout",
    "SI": "timeout",
    "UMSDR": "timeout",
    "DT": "timeout",
    # The caller went away.
    "DC": "cancelled",
    "DR": "cancelled",
    "DPE": "cancelled",
    # Never executed.
    "UO": "rejected",
    "UH": "rejected",
    "UF": "rejected",
    "NR": "rejected",
    "NC": "rejected",
    "RL": "rejected",
    "RLSE": "rejected",
    "UAEX": "rejected",
    "IH": "rejected",
    "OM": "rejected",
    "DO": "rejected",
    "DF": "rejected",
    "NFCF": "rejected",
    "LH": "rejected",
    # The callee failed.
    "UC": "error",
    "UR": "error",
    "LR": "error",
    "UPE": "error",
    "FI": "error",
}
"""Envoy's short response flags that say how a call ended. URX, DI, RFCF only annotate: another flag or the status decides."""

FLAG_PRECEDENCE: Final[tuple[Outcome, ...]] = ("timeout", "cancelled", "rejected", "error")
"""Which outcome wins where several flags stand together, as in "URX,UF"."""

GRPC_OUTCOMES: Final[dict[int, Outcome]] = {
    0: "ok",
    1: "cancelled",  # CANCELLED
    4: "timeout",  # DEADLINE_EXCEEDED
    8: "rejected",  # RESOURCE_EXHAUSTED
}
"""gRPC status codes that are not plain errors. UNAVAILABLE (14) may have been executed: it stays an error."""

HTTP_OUTCOMES: Final[dict[int, Outcome]] = {
    408: "timeout",
    429: "rejected",
    499: "cancelled",
    504: "timeout",
}
"""HTTP status codes that are not judged by their class. 503 may have been executed: it stays an error."""


def outcome_of_flags(flags: str | None) -> Outcome | None:
    """The outcome that Envoy's response flags name, or None where they name none.

    >>> outcome_of_flags("URX,UF"), outcome_of_flags("-"), outcome_of_flags("UT")
    ('rejected', None, 'timeout')
    """
    said = {FLAG_OUTCOMES[flag] for flag in (flags or "").split(",") if flag in FLAG_OUTCOMES}
    return next((outcome for outcome in FLAG_PRECEDENCE if outcome in said), None)


def outcome_of_status(status_code: int | None, grpc_status: int | None = None) -> Outcome | None:
    """The outcome that the status of a complete response names; None where there is no status (0 counts as none).

    A 4xx other than those listed is the callee's answer to a bad request: `ok` for latency, since it did its work.

    >>> outcome_of_status(200), outcome_of_status(503), outcome_of_status(200, 4), outcome_of_status(None)
    ('ok', 'error', 'timeout', None)
    """
    if grpc_status is not None and grpc_status != 0:
        return GRPC_OUTCOMES.get(grpc_status, "error")
    if not status_code:
        return None if grpc_status is None else "ok"
    return HTTP_OUTCOMES.get(status_code, "error" if status_code >= 500 else "ok")
