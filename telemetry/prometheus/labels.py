"""What the labels of a series mean: the words of the call row, by the table of a profile."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import polars as pl

from meshslo.telemetry.outcome import outcome_of_flags, outcome_of_status
from meshslo.telemetry.store.metrics import SERIES
from meshslo.telemetry.vocabulary import UNKNOWN, Outcome, hop

from .profile import Label, Metric, Outcomes, Profile

Values = Mapping[str, str]

ABSENT: Final = frozenset({"", "unknown", "-"})
"""Values that meshes write where they do not know."""


def words_of(groups: Sequence[Values], profile: Profile, metric: Metric) -> pl.DataFrame:
    """A row of the columns that `profile` can fill, with hop and outcome, for the labels of each group."""
    rows = [_row(labels, profile, metric) for labels in groups]
    names = [*profile.labels_of(metric), *metric.fixed, "hop", "outcome"]
    kinds = {name: SERIES[name] for name in dict.fromkeys(names)}
    return pl.DataFrame(rows, schema=kinds, orient="row", infer_schema_length=None)


def _row(labels: Values, profile: Profile, metric: Metric) -> dict[str, Any]:
    row: dict[str, Any] = {column: first_of(labels, sources) for column, sources in profile.labels_of(metric).items()}
    row.update({str(column): value for column, value in metric.fixed.items()})
    if row.get("mtls") is not None:
        row["mtls"] = row["mtls"] == "true"
    if row.get("status_code") is not None:
        row["status_code"] = _number(row["status_code"])
    row["hop"] = hop(row.get("caller") or UNKNOWN, row.get("callee") or UNKNOWN)
    row["outcome"] = outcome_of(labels, profile.outcomes_of(metric))
    return row


def first_of(labels: Values, sources: Sequence[str | Label]) -> str | None:
    """The value of the first of `sources` that says something."""
    values = (_value(labels, source) for source in sources)
    return next((value for value in values if value is not None), None)


def outcome_of(labels: Values, rules: Outcomes) -> Outcome | None:
    """How labels say that a call ended; None where the profile has no rule that speaks.

    A flag beats a status: a truncated stream is counted with 200. A status of 0 without a flag is a call without an answer.
    """
    for label, words in rules.words.items():
        if labels.get(label) in words:
            return words[labels[label]]
    for label, outcome in rules.present.items():
        if labels.get(label, "") not in ABSENT:
            return outcome
    flags = outcome_of_flags(labels.get(rules.flags)) if rules.flags else None
    status = labels.get(rules.status) if rules.status else None
    grpc = labels.get(rules.grpc) if rules.grpc else None
    if flags is not None or (status is None and grpc is None):
        return flags or rules.otherwise
    return outcome_of_status(_status(status), _number(grpc)) or ("error" if status == "0" else rules.otherwise)


def _value(labels: Values, source: str | Label) -> str | None:
    rule = source if isinstance(source, Label) else Label(label=source)
    value = labels.get(rule.label)
    if rule.pattern is not None and value is not None:
        found = _compiled(rule.pattern).search(value)
        value = None if found is None else found[1]
    if rule.values is not None and value is not None:
        value = rule.values.get(value)
    return None if value is None or value in ABSENT else value


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _status(text: str | None) -> int | None:
    """A status code, or the middle of its class: "5xx" and Envoy's "5" are 500."""
    if text is None:
        return None
    return int(text[0]) * 100 if re.fullmatch(r"[1-5](xx)?", text, re.IGNORECASE) else _number(text)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
