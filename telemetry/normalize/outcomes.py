"""The outcome of every span of a table, by the rules of `telemetry.outcome`: each distinct evidence is judged once."""

from typing import Final

import polars as pl

from meshslo.telemetry.outcome import GRPC_OUTCOMES, outcome_of_flags, outcome_of_status
from meshslo.telemetry.vocabulary import OUTCOMES, Outcome

GRPC_CODES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""gRPC status names in the order of their codes (grpc/doc/statuscodes.md)."""

# What exception and error classes of HTTP, gRPC and asyncio clients have in their names, most telling first.
_ERROR_WORDS: Final[tuple[tuple[str, Outcome], ...]] = (
    ("connecttimeout", "rejected"),
    ("pooltimeout", "rejected"),
    ("timeout", "timeout"),
    ("deadline", "timeout"),
    ("cancel", "cancelled"),
    ("generatorexit", "cancelled"),
    ("disconnect", "cancelled"),
    ("abort", "cancelled"),
    ("connecterror", "rejected"),
    ("connectionrefused", "rejected"),
    ("econnrefused", "rejected"),
    ("ratelimit", "rejected"),
)


def outcome_of_error(error_type: str | None) -> Outcome:
    """The outcome that a failed span's `error.type` names; a word we do not know is a plain error.

    >>> outcome_of_error("httpx.ReadTimeout"), outcome_of_error("CancelledError"), outcome_of_error("ValueError")
    ('timeout', 'cancelled', 'error')
    """
    if error_type and error_type.isdigit():
        return outcome_of_status(int(error_type)) or "error"
    if error_type and error_type.upper() in GRPC_CODES:
        return GRPC_OUTCOMES.get(GRPC_CODES.index(error_type.upper()), "error")
    spelled = (error_type or "").lower().replace("_", "")
    return next((outcome for word, outcome in _ERROR_WORDS if word in spelled), "error")


def judge(flags: str | None, status_code: int | None, grpc_status: int | None, failed: str | None) -> Outcome:
    """How a call ended: flags beat a failure that was recorded, which beats the status; no evidence is `ok`.

    `failed` is the `error.type` of a failed span ("" where it names none), None for a span that did not fail. A client's
    span of a 4xx is failed by convention, yet the callee did its work: there the status decides.
    """
    if said := outcome_of_flags(flags):
        return said
    by_status = outcome_of_status(status_code, grpc_status)
    if failed is None:
        return by_status or "ok"
    complete_4xx = status_code is not None and 400 <= status_code < 500 and failed in ("", str(status_code))
    if by_status is not None and (by_status != "ok" or complete_4xx):
        return by_status
    return outcome_of_error(failed)


EVIDENCE: Final = ("response_flags", "status_code", "grpc_status", "failure")


def outcomes(table: pl.DataFrame) -> pl.Series:
    """The outcome of each row of `table` (columns `EVIDENCE`, and `stated` with what the instrumentation itself said)."""
    # Most columns say nothing in a whole table: telling kinds apart by them would cost as much as by those that do.
    telling = [name for name in EVIDENCE if table[name].null_count() < table.height] or ["status_code"]
    kinds = table.select(telling).unique()
    every = kinds.with_columns(pl.lit(None).alias(name) for name in EVIDENCE if name not in telling).select(EVIDENCE)
    judged = kinds.with_columns(judged=pl.Series([judge(*row) for row in every.rows()], dtype=pl.String))
    joined = table.join(judged, on=telling, how="left", nulls_equal=True, maintain_order="left")
    stated = pl.when(pl.col("stated").is_in(OUTCOMES)).then(pl.col("stated"))
    return joined.select(outcome=pl.coalesce(stated, "judged"))["outcome"]
