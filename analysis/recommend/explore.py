"""How long a stream can take at most where a timer hides the end: first token + longest answer x time per chunk.

Both parts are known from cut streams too. The bound is no estimate: it is what to set in order to see the tail.
"""

from collections.abc import Sequence
from typing import Final

from meshslo.analysis.quantile import Quantile
from meshslo.analysis.survival import LifeTable

from .clocks import Timer
from .observed import Observed
from .recommendation import Target
from .words import count, seconds, share

SHARES: Final = (0.99, 0.95)
"""Shares at which a part is bounded where calls are too few for the budget's own."""

FEWEST: Final = 10
"""Where they are too few for these too, the longest of so many stands in: a bound to look under, not one to promise."""


def longest_stream(observed: Observed, target: Target, timer: Timer) -> tuple[float, str] | None:
    """Seconds that a stream of the target takes at most, and why; None where streams do not show its parts.

    For a target without a model it is the slowest of the models seen there.
    """
    models: Sequence[str | None] = [target.model] if target.model else observed.tables("total").models(target.hop, target.route)
    place = (target.hop, target.route)
    found = [bound for model in models or [None] if (bound := _of_model(observed, place, model, timer)) is not None]
    return max(found, default=None)


def _of_model(observed: Observed, place: tuple[str, str | None], model: str | None, timer: Timer) -> tuple[float, str] | None:
    first = _upper(observed.tables("first_token").of(*place, model), timer)
    per_chunk = _upper(observed.chunk_times.of(*place, model), timer)
    length = _longest_answer(observed, model)
    if first is None or per_chunk is None or length is None:
        return None
    chunks, why_chunks = length
    bound_s = first[0] + chunks * per_chunk[0]
    parts = f"first token within {seconds(first[0])} ({first[1]} calls)"
    each = f"{why_chunks} at up to {seconds(per_chunk[0])} a chunk ({per_chunk[1]} streams)"
    why = f"{parts} and {each} end within {seconds(bound_s)}"
    return bound_s, why if model is None else f"model {model}: {why}"


def _upper(table: LifeTable, timer: Timer) -> tuple[float, str] | None:
    """The upper bound of the highest share that calls can tell, and of which of them; else the longest of a few."""
    for q in (1.0 - timer.budget, *(lower for lower in SHARES if lower < 1.0 - timer.budget)):
        quantile: Quantile = table.quantile(q, timer.confidence)
        if quantile.status == "ok" and quantile.upper_s is not None:
            return quantile.upper_s, f"{share(q)} of"
    return (table.longest_s, f"the slowest of {count(table.calls)}") if table.calls >= FEWEST else None


def _longest_answer(observed: Observed, model: str | None) -> tuple[int, str] | None:
    """Chunks of the longest answer: what the model may give, else the longest seen anywhere. A chunk holds a token or more."""
    config = observed.config.models.get(model) if model else None
    if config and config.max_tokens:
        return config.max_tokens, f"max_tokens = {count(config.max_tokens)}"
    longest = observed.answer_lengths.get(model, 0)
    return (longest, f"the longest answer seen, {count(longest)} chunks or tokens,") if longest else None
