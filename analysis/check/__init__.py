"""`check`: what existing manifests do wrong, sharpened by what calls show. One file a rule, each ending in `RULE`.

A rule states what it finds, why that hurts and what to do instead; without calls its findings are latent, with calls that show
the harm they are confirmed. Findings say file and line; `# meshslo:ignore MS211 reason` on the line or the one before silences
one, and needs the reason.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, Protocol, get_args

import polars as pl

from meshslo.analysis.answer import Answer
from meshslo.analysis.policy.deployed import Deployed, read_deployed
from meshslo.analysis.policy.manifest import load
from meshslo.analysis.recommend.observed import Observed
from meshslo.telemetry.discovery import members
from meshslo.telemetry.errors import BadInputError

SCHEMA: Final = "meshslo.findings/1"

Severity = Literal["info", "warning", "error"]
"""Worth knowing; harms some calls under some conditions; harms calls as it stands."""

SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)

UNREADABLE: Final = "MS900"
_IGNORE: Final = re.compile(r"#\s*meshslo:ignore\s+(MS\d{3})\s+(\S.*)$")


@dataclass(frozen=True)
class Finding:
    """One thing wrong at one place. `confirmed`: calls show the harm; otherwise it is latent."""

    code: str
    severity: Severity
    file: str
    line: int | None
    message: str
    instead: str
    confirmed: bool = False

    @property
    def place(self) -> str:
        """The file and line, as "virtualservice.yaml:17"."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Subject:
    """What is checked: the policies in manifests, and the calls where there are some."""

    deployed: Deployed
    observed: Observed | None = None


class Rule(Protocol):
    """Finds one kind of mistake."""

    code: str
    name: str
    why: str
    """Why it hurts, with the source."""

    def find(self, subject: Subject) -> Iterable[Finding]:
        """Every place that has it."""
        ...


@dataclass(frozen=True)
class Findings(Answer):
    """All of them, by file and line."""

    items: tuple[Finding, ...]

    def at_least(self, severity: Severity) -> tuple[Finding, ...]:
        """Those of a severity and the worse ones."""
        return tuple(item for item in self.items if SEVERITIES.index(item.severity) >= SEVERITIES.index(severity))

    @property
    def frame(self) -> pl.DataFrame:
        """One row a finding."""
        words = dict.fromkeys(("code", "severity", "file", "message", "instead"), pl.String())
        return pl.DataFrame(
            [asdict(item) for item in self.items], schema=words | {"line": pl.Int64(), "confirmed": pl.Boolean()}
        )

    def to_json(self) -> str:
        """The JSON that `meshslo check --output json` prints."""
        return json.dumps({"schema": SCHEMA, "items": [asdict(item) for item in self.items]}, indent=2)

    def to_sarif(self) -> str:
        """SARIF 2.1.0, as code hosts show it beside the lines."""
        known = [{"id": rule.code, "name": rule.name, "shortDescription": {"text": rule.why}} for rule in rules()]
        run = {"tool": {"driver": {"name": "meshslo", "rules": known}}, "results": [_sarif(item) for item in self.items]}
        return json.dumps(
            {"version": "2.1.0", "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "runs": [run]}, indent=2
        )


def _sarif(item: Finding) -> dict[str, Any]:
    level = {"info": "note", "warning": "warning", "error": "error"}[item.severity]
    place: dict[str, Any] = {"artifactLocation": {"uri": item.file}}
    if item.line is not None:
        place["region"] = {"startLine": item.line}
    text = f"{item.message}. Instead: {item.instead}"
    return {"ruleId": item.code, "level": level, "message": {"text": text}, "locations": [{"physicalLocation": place}]}


def rules() -> list[Rule]:
    """Every rule there is, by code: those in this folder and those of the entry points `meshslo.check`."""
    found: list[Rule] = list(members(sys.modules[__name__], "RULE"))  # type: ignore[arg-type]  # the contract suite holds it
    return sorted(found, key=lambda rule: rule.code)


def check(texts: Mapping[str, str], observed: Observed | None = None, *, model_header: str = "x-model") -> Findings:
    """Findings in manifests (file name -> text), sharpened by what was observed.

    A file that is no YAML is a finding of its own and the others are still checked; BadInputError where none could be.
    """
    readable, broken = _readable(texts)
    if not readable:
        raise BadInputError("; ".join(item.message for item in broken) or "no manifests to check")
    deployed = read_deployed(readable, model_header=model_header)
    subject = Subject(deployed, None if observed is None else replace(observed, deployed=deployed))
    found = [item for rule in rules() for item in rule.find(subject) if not _silenced(item, readable)]
    return Findings(tuple(sorted([*broken, *found], key=lambda item: (item.file, item.line or 0, item.code, item.message))))


def _readable(texts: Mapping[str, str]) -> tuple[dict[str, str], list[Finding]]:
    readable, broken = {}, []
    for name, text in texts.items():
        try:
            load(text, name)
        except BadInputError as error:
            line = re.match(rf"{re.escape(name)}:(\d+)", str(error))
            at = int(line[1]) if line else None
            broken.append(Finding(UNREADABLE, "error", name, at, str(error), "mend the file, so that it can be checked"))
        else:
            readable[name] = text
    return readable, broken


def _silenced(item: Finding, texts: Mapping[str, str]) -> bool:
    lines = texts[item.file].splitlines() if item.line is not None and item.file in texts else []
    near = lines[max((item.line or 1) - 2, 0) : item.line]
    return any(match[1] == item.code for line in near if (match := _IGNORE.search(line)))


def at(source: str) -> tuple[str, int | None]:
    """File and line of a value's source.

    >>> at("front.yaml:7 (Envoy's default)"), at("front.yaml")
    (('front.yaml', 7), ('front.yaml', None))
    """
    match = re.match(r"(.+?):(\d+)(?: |$)", source)
    return (match[1], int(match[2])) if match else (source, None)


def once(findings: Sequence[Finding]) -> Iterator[Finding]:
    """The findings without those that say the same of the same place, as several matches of one route do."""
    yield from {(item.code, item.place): item for item in findings}.values()
