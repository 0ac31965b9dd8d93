"""All that `check` found, as JSON and as SARIF."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import polars as pl

from meshslo.analysis.answer import Answer

from .pages import page
from .rule import SEVERITIES, Finding, Rule, Severity

SCHEMA: Final = "meshslo.findings/1"
_WORDS: Final = ("code", "severity", "file", "message", "instead", "fingerprint")
_ROW: Final = {**dict.fromkeys(_WORDS, pl.String()), "line": pl.Int64(), "confirmed": pl.Boolean()}
LEVELS: Final[dict[Severity, str]] = {"info": "note", "warning": "warning", "error": "error"}


@dataclass(frozen=True)
class Findings(Answer):
    """Findings by file and line; how many were silenced and how many stand in a baseline; kinds that no rule looks at."""

    items: tuple[Finding, ...]
    checked: tuple[Rule, ...] = ()
    """The rules that were applied."""
    silenced: int = 0
    known: int = 0
    passed_over: Mapping[str, int] = field(default_factory=dict)
    need_calls: tuple[str, ...] = ()
    """Codes of the rules that could find nothing, since they need a store and there was none."""

    def at_least(self, severity: Severity) -> tuple[Finding, ...]:
        """Those of a severity and the worse ones."""
        return tuple(item for item in self.items if SEVERITIES.index(item.severity) >= SEVERITIES.index(severity))

    def counts(self) -> dict[Severity, int]:
        """How many of each severity, the worst first."""
        counted = Counter(item.severity for item in self.items)
        return {severity: counted[severity] for severity in reversed(SEVERITIES)}

    @property
    def frame(self) -> pl.DataFrame:
        """One row a finding."""
        return pl.DataFrame([asdict(item) for item in self.items], schema=_ROW)

    def to_json(self) -> str:
        """The JSON that `meshslo check --output json` prints."""
        whole = {
            "schema": SCHEMA,
            "items": [asdict(item) for item in self.items],
            "silenced": self.silenced,
            "in_baseline": self.known,
            "passed_over": dict(self.passed_over),
            "need_calls": list(self.need_calls),
        }
        return json.dumps(whole, indent=2)

    def to_sarif(self) -> str:
        """SARIF 2.1.0, as code hosts show it beside the lines, with the rules' pages as help."""
        driver = {"name": "meshslo", "rules": [_sarif_rule(rule) for rule in self.checked]}
        run = {"tool": {"driver": driver}, "results": [_sarif(item) for item in self.items]}
        return json.dumps(
            {"version": "2.1.0", "$schema": "https://json.schemastore.org/sarif-2.1.0.json", "runs": [run]}, indent=2
        )


def _sarif_rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.finds},
        "fullDescription": {"text": rule.why},
        "defaultConfiguration": {"level": LEVELS[rule.severity]},
        "help": {"text": f"{rule.why} Instead: {rule.instead} (meshslo check --explain {rule.code})", "markdown": page(rule)},
    }


def _sarif(item: Finding) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": item.file}}
    if item.line is not None:
        place["region"] = {"startLine": item.line}
    return {
        "ruleId": item.code,
        "level": LEVELS[item.severity],
        "message": {"text": f"{item.message}. Instead: {item.instead}"},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"meshslo/v1": item.fingerprint},
    }
