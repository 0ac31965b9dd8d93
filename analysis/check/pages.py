"""A page of Markdown for each rule, and one that lists them all: `make rule-docs` writes them into docs/rules."""

from collections.abc import Mapping, Sequence
from typing import Final

from .rule import Rule

CHAPTERS: Final[Mapping[str, str]] = {
    "MS1": "Timeouts",
    "MS2": "Retries",
    "MS3": "Breakers, outlier detection, locality and canaries",
    "MS4": "Identity and egress",
    "MS5": "Telemetry and SLOs",
    "MS9": "What cannot be checked",
}


def page(rule: Rule) -> str:
    """What the rule finds, why it hurts, what to do instead, on what evidence, and how to silence it."""
    return f"""# {rule.code} {rule.name}

Severity: {rule.severity}

## What it finds

{rule.finds}

## Why it hurts

{rule.why}

## Instead

{rule.instead}

## Evidence

{rule.evidence}

## To silence it

`# meshslo:ignore {rule.code} REASON` on the line or the one before, the annotation `meshslo/ignore: "{rule.code} REASON"` on
the resource, or in `meshslo.toml`:

```toml
[[check.ignore]]
code = "{rule.code}"
path = "legacy/**"
reason = "..."
```
"""


def index(rules: Sequence[Rule]) -> str:
    """Every rule with its severity and first sentence, by chapter."""
    lines = ["# Rules of `meshslo check`", ""]
    lines += ["`meshslo check --explain CODE` prints a page. Codes never change their meaning.", ""]
    for prefix, title in CHAPTERS.items():
        chapter = [rule for rule in rules if rule.code.startswith(prefix)]
        if chapter:
            lines += [f"## {title}", "", "| code | name | severity | what it finds |", "|---|---|---|---|"]
            lines += [f"| [{rule.code}]({rule.code}.md) | {rule.name} | {rule.severity} | {rule.finds} |" for rule in chapter]
            lines.append("")
    return "\n".join(lines)


def pages(rules: Sequence[Rule]) -> dict[str, str]:
    """File name -> text of every page."""
    return {"README.md": index(rules)} | {f"{rule.code}.md": page(rule) for rule in rules}
