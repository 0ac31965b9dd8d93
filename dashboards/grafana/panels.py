"""Panels that several boards have: a quantile beside what it cannot see, and shares of endings."""

from collections.abc import Sequence
from typing import Final

from meshslo.analysis.quantile import calls_needed
from meshslo.telemetry.vocabulary import Outcome, Phase

from .board import Panel, Query
from .expressions import Expressions

NOT_WELL: Final[tuple[Outcome, ...]] = ("error", "timeout", "cancelled", "rejected")

_NAMES: Final[dict[Phase, tuple[str, str, str]]] = {
    "total": ("of the whole call", "Seconds to the last byte.", "Calls"),
    "first_byte": (
        "to the first byte",
        "Seconds to the response headers; a server may send them at once and think afterwards.",
        "First bytes",
    ),
    "first_token": ("to the first token", "Seconds to the first chunk with content.", "First tokens"),
    "max_gap": (
        "of the longest silence",
        "Longest seconds between chunks, and since the last one where a stream was cut.",
        "Silences",
    ),
}
"""Phase -> what a quantile is of, what it measures, what is above the top bucket."""


def slow(phase: Phase, *by: str, q: float = 0.99, settings: Sequence[str] = ()) -> tuple[Panel, Panel]:
    """A quantile of a phase, with timeouts as lines; beside it the share above the top bucket, which it cannot place."""
    of, measured, above = _NAMES[phase]
    key = f" by {by[0]}" if by else ""
    lines = f" Dashed: {' and '.join(setting.replace('_', ' ') for setting in settings)}." if settings else ""
    return (
        Panel(
            f"p{q * 100:g} {of}{key}",
            f"{measured} {reading(q)}{lines}",
            lambda names, advice: [*tail(names, phase, *by, q=q), *advice.lines(names, *settings)],
            "s",
        ),
        Panel(
            f"{above} above the top bucket{key}",
            f"Share longer than the histogram can tell. Above {100 * (1 - q):.0f} % the p{q * 100:g} beside is a lower bound.",
            lambda names, _: [Query(names.beyond(phase, *by), legend(*by))],
            "percentunit",
            limit=round(1 - q, 6),
        ),
    )


def share(title: str, about: str, outcomes: Sequence[Outcome], *by: str, limit: float | None = None) -> Panel:
    """The share of calls that ended in one of `outcomes`, with a line at `limit`."""
    return Panel(title, about, lambda names, _: [Query(names.share(outcomes, *by), legend(*by))], "percentunit", limit=limit)


def legend(*by: str) -> str:
    """What a series is called: its hop, the words it is told apart by, who saw it.

    >>> legend("model")
    '{{hop}} {{model}} ({{vantage}})'
    """
    return " ".join(f"{{{{{key}}}}}" for key in ("hop", *by)) + " ({{vantage}})"


def by_hop(expr: str, legend: str = "{{hop}} ({{vantage}})") -> Query:
    """A query with a line for each hop, said from whom."""
    return Query(expr, legend)


def tail(names: Expressions, phase: Phase, *by: str, q: float = 0.99) -> list[Query]:
    """A quantile with exemplars; marks where it is a lower bound; and apart, where there are too few calls for it."""
    word = legend(*by).removesuffix(" ({{vantage}})")
    return [
        Query(names.quantile(q, phase, *by), legend(*by), exemplar=True),
        Query(names.at_least(q, phase, *by), f"{word} at least", "at_least"),
        Query(names.few(q, phase, *by), f"{word} of too few calls", "few"),
    ]


def reading(q: float = 0.99) -> str:
    """How to read a panel of `tail`.

    >>> reading(0.95)
    'Marks: at least that, the tail beyond was not seen. Dotted: of fewer than 59 calls a step, too few.'
    """
    return f"Marks: at least that, the tail beyond was not seen. Dotted: of fewer than {calls_needed(q)} calls a step, too few."
