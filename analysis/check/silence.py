"""What people have decided to live with: comments, annotations and the config, each with a reason; and a baseline."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from hashlib import sha256
from typing import Final

from meshslo.analysis.checking import Ignore
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import Node
from meshslo.telemetry.errors import BadInputError

from .rule import Finding

BASELINE: Final = "meshslo.baseline/1"
ANNOTATION: Final = "meshslo/ignore"

COMMENT: Final = re.compile(r"#\s*meshslo:ignore\s+(MS\d{3})(?:\s+(\S.*))?$", re.MULTILINE)
_LISTED: Final = re.compile(r"(MS\d{3})\s+(\S[^;]*)")


@dataclass(frozen=True)
class Silence:
    """Says of a finding whether somebody gave a reason to keep quiet about it."""

    texts: Mapping[str, str]
    manifests: Sequence[Manifest]
    ignores: Sequence[Ignore] = ()

    def covers(self, item: Finding) -> bool:
        """Whether it is silenced by its line, its resource or the config."""
        return self._by_comment(item) or self._by_annotation(item) or self._by_config(item)

    def _by_comment(self, item: Finding) -> bool:
        if item.line is None:
            return False
        near = self._lines(item.file)[max(item.line - 2, 0) : item.line]
        return any(match[1] == item.code and match[2] for line in near if (match := COMMENT.search(line)))

    def _by_annotation(self, item: Finding) -> bool:
        starts = [(line, codes) for line, codes in self._annotated.get(item.file, ()) if line <= (item.line or 0)]
        return bool(starts) and item.code in starts[-1][1]

    def _by_config(self, item: Finding) -> bool:
        return any(ignore.code == item.code and fnmatchcase(item.file, ignore.path) for ignore in self.ignores)

    def _lines(self, file: str) -> list[str]:
        if file not in self._split:
            self._split[file] = self.texts.get(file, "").splitlines()
        return self._split[file]

    @cached_property
    def _split(self) -> dict[str, list[str]]:
        return {}

    @cached_property
    def _annotated(self) -> dict[str, list[tuple[int, frozenset[str]]]]:
        """File -> the line each of its resources begins on, and the codes that its annotation names with a reason."""
        found: dict[str, list[tuple[int, frozenset[str]]]] = {}
        for manifest in self.manifests:
            if isinstance(manifest.body, Node):
                listed = str(_annotation(manifest))
                codes = frozenset(code for code, _ in _LISTED.findall(listed))
                found.setdefault(manifest.file, []).append((manifest.body.line, codes))
        return found


def _annotation(manifest: Manifest) -> object:
    metadata = manifest.body.get("metadata")
    marks = metadata.get("annotations") if isinstance(metadata, dict) else None
    return marks.get(ANNOTATION, "") if isinstance(marks, dict) else ""


def with_fingerprints(findings: Iterable[Finding], texts: Mapping[str, str]) -> Iterator[Finding]:
    """The findings, each with a fingerprint of its code, file and line's text: it stays when lines above are added.

    Equal lines of a file are numbered in their order.
    """
    seen: Counter[tuple[str, str, str]] = Counter()
    split = {name: text.splitlines() for name, text in texts.items()}
    for item in findings:
        lines = split.get(item.file, [])
        text = lines[item.line - 1].strip() if item.line and item.line <= len(lines) else ""
        key = (item.code, item.file, text)
        seen[key] += 1
        told = "\0".join([*key, str(seen[key])]).encode(errors="surrogateescape")
        yield replace(item, fingerprint=sha256(told).hexdigest()[:16])


def to_baseline(findings: Iterable[Finding]) -> str:
    """The baseline file of findings: their fingerprints, with what they were for people to read."""
    known = [
        {"fingerprint": item.fingerprint, "code": item.code, "place": item.place, "message": item.message} for item in findings
    ]
    return json.dumps({"schema": BASELINE, "findings": known}, indent=2) + "\n"


def parse_baseline(text: str, name: str) -> frozenset[str]:
    """The fingerprints of a baseline file; BadInputError where it is none."""
    try:
        read = json.loads(text)
        if read["schema"] != BASELINE:
            raise BadInputError(f'{name} says schema "{read["schema"]}"; this version reads {BASELINE}')
        return frozenset(str(known["fingerprint"]) for known in read["findings"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{name} is no baseline ({error}); write one with --write-baseline {name}") from None
