"""MS922: a finding that somebody meant to silence."""

import re
from collections.abc import Iterator
from typing import Final

from meshslo.analysis.check.rule import Hit, Rule, Subject
from meshslo.analysis.check.silence import ANNOTATION

_LISTED: Final = re.compile(r"(MS\d{3})\s*(?=;|$)")


def _find(subject: Subject) -> Iterator[Hit]:
    for manifest in subject.manifests:
        marks = manifest.annotations
        for code in _LISTED.findall(str(marks.get(ANNOTATION, ""))):
            yield Hit(manifest.place(marks, ANNOTATION), f"{code} is not silenced: no reason is given")


RULE = Rule(
    code="MS922",
    name="silence-without-reason",
    severity="info",
    finds=f"The annotation {ANNOTATION} with a code and no reason.",
    why="Nobody will know later whether it may go; so it silences nothing.",
    instead="the reason after the code, several with semicolons between",
    evidence="The rules of this checker.",
    find=_find,
)
