"""The words of the call row: vantages, phases, outcomes. Everything else takes them from here."""

from typing import Literal, get_args

Vantage = Literal["client", "proxy_out", "proxy_in", "server", "metric"]
"""Who saw the call, outermost first: caller's SDK, caller-side proxy, callee-side proxy, callee's SDK, metrics only."""

Phase = Literal["total", "first_byte", "first_token", "max_gap"]
"""What was timed: the whole call, response headers, first chunk with content, longest silence between chunks."""

Outcome = Literal["ok", "error", "timeout", "cancelled", "rejected"]
"""How the call ended: callee answered; callee failed; a timer cut it; the caller left; it was never executed."""

VANTAGES: tuple[Vantage, ...] = get_args(Vantage)
PHASES: tuple[Phase, ...] = get_args(Phase)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

CENSORED: frozenset[Outcome] = frozenset({"timeout", "cancelled"})
"""Outcomes after which the true duration is known only to be longer than what was seen."""

PHASE_COLUMNS: dict[Phase, str] = {
    "total": "duration_s",
    "first_byte": "first_byte_s",
    "first_token": "first_token_s",
    "max_gap": "max_gap_s",
}
"""The call row's column that holds each phase, in seconds."""

OTHER = "__other__"
"""Where routes, tenants and models beyond the configured number are counted together."""

INGRESS = "ingress"
"""The caller of the entry hop: whoever is outside the mesh."""

UNKNOWN = "unknown"
"""Stands in a hop's name for a side that nobody told of; the column `caller` or `callee` itself stays null."""


def hop(caller: str, callee: str) -> str:
    """The name of a caller-callee pair.

    >>> hop("gateway", "retriever")
    'gateway>retriever'
    """
    return f"{caller}>{callee}"
