"""MS116: an idle timeout below the silences of healthy streams."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject
from meshslo.analysis.check.shown import beyond


def _find(subject: Subject) -> Iterator[Hit]:
    if subject.observed is not None:
        for found in beyond(subject, subject.observed, "idle_gap_timeout", subject.observed.silences):
            yield Hit(found.placed.source, f"this idle timeout ends healthy streams: silences {found.sentence}", confirmed=True)


RULE = Rule(
    code="MS116",
    name="idle-below-silence",
    severity="error",
    finds="An idle timeout that surely more calls are silent for, before the first token or between tokens, than the "
    "false-timeout budget allows. Needs a store.",
    why="Idle timers run before the first byte too: long prompts and hidden reasoning are killed, and a retry repeats the "
    "whole prefill.",
    instead="an idle timeout above the longest healthy silence: `meshslo recommend timeouts` says which",
    evidence="vllm-project/aibrix#1810, BlockRunAI/Franklin#74.",
    find=_find,
    needs_calls=True,
)
