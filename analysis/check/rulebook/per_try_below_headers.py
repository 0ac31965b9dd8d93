"""MS117: a per-try timeout below the time that headers of healthy answers take."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject
from meshslo.analysis.check.shown import beyond


def _find(subject: Subject) -> Iterator[Hit]:
    if subject.observed is not None:
        for found in beyond(subject, subject.observed, "per_try_timeout", subject.observed.tables("first_byte")):
            yield Hit(
                found.placed.source, f"this per-try timeout ends healthy attempts: headers {found.sentence}", confirmed=True
            )


RULE = Rule(
    code="MS117",
    name="per-try-below-headers",
    severity="error",
    finds="A per-try timeout that the headers of surely more calls take longer than, than the false-timeout budget allows. "
    "Needs a store.",
    why="An answer that is not streamed sends its headers last: the per-try timer covers the whole generation, and each retry "
    "pays for it again.",
    instead="no per-try timeout for generations, or one above the slowest healthy headers",
    evidence="defilantech/LLMKube#817, istio/istio#55748.",
    find=_find,
    needs_calls=True,
)
