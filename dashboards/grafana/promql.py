"""Pieces of PromQL: selectors, and labels rewritten into the words of the call row as a profile says.

Prometheus matches whole values where a profile's patterns search, so patterns are widened; a value that a mesh writes where
it does not know ("unknown") is taken as it is.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Final

from meshslo.telemetry.outcome import FLAG_OUTCOMES, FLAG_PRECEDENCE, GRPC_OUTCOMES, HTTP_OUTCOMES
from meshslo.telemetry.prometheus.profile import Label, Outcomes
from meshslo.telemetry.vocabulary import OUTCOMES, UNKNOWN, Outcome

_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PLAIN: Final = "(.+)"


def quoted(text: str) -> str:
    """A string literal.

    >>> quoted("a.b")
    '"a.b"'
    """
    return json.dumps(text, ensure_ascii=False)


def selector(names: Sequence[str], matchers: Iterable[str]) -> str:
    r"""The series of a metric under any of its names.

    >>> selector(["a"], ['b="c"']), selector(["a:b", "a.b"], [])
    ('a{b="c"}', '{__name__=~"a:b|a\\\\.b"}')
    """
    told = [matcher for matcher in matchers if matcher]
    if len(names) == 1 and _NAME.fullmatch(names[0]):
        return f"{names[0]}{{{','.join(told)}}}" if told else names[0]
    any_name = f"__name__=~{quoted('|'.join(re.escape(name) for name in names))}"
    return f"{{{','.join([any_name, *told])}}}"


def with_label(expr: str, label: str, value: str) -> str:
    """The series of `expr` with `label` set to `value`.

    >>> with_label("x", "vantage", "source")
    'label_replace(x, "vantage", "source", "", "")'
    """
    return f'label_replace({expr}, {quoted(label)}, {quoted(value)}, "", "")'


def when(expr: str, source: str, pattern: str, label: str, value: str) -> str:
    """The series of `expr`, `label` set to `value` (which may name groups) where the whole of `source` matches `pattern`."""
    return f"label_replace({expr}, {quoted(label)}, {quoted(value)}, {quoted(source)}, {quoted(pattern)})"


def taken(expr: str, label: str, sources: Sequence[str | Label]) -> str:
    """The series of `expr`, `label` taken from the first of `sources` that says something.

    >>> taken("x", "caller", ["app", "job"])
    'label_replace(label_replace(x, "caller", "$1", "job", "(.+)"), "caller", "$1", "app", "(.+)")'
    """
    for source in reversed(sources):
        rule = source if isinstance(source, Label) else Label(label=source)
        if rule.values is None:
            expr = when(expr, rule.label, _whole(rule.pattern), label, "$1")
        for value, meaning in (rule.values or {}).items():
            expr = when(expr, rule.label, re.escape(value), label, meaning)
    return expr


def with_outcome(expr: str, rules: Outcomes) -> str:
    """The series of `expr` with the label `outcome`, by the rules and their precedence in `telemetry.prometheus.labels`."""
    expr = with_label(expr, "outcome", rules.otherwise or UNKNOWN)
    if rules.status is not None:
        # A call without an answer, unless gRPC has one.
        expr = when(expr, rules.status, "0", "outcome", "error")
    if rules.grpc is not None:
        expr = when(expr, rules.grpc, "0", "outcome", "ok")
    if rules.status is not None:
        expr = _by_status(expr, rules.status)
    if rules.grpc is not None:
        expr = _by_grpc(expr, rules.grpc)
    if rules.flags is not None:
        expr = _by_flags(expr, rules.flags)
    for label, outcome in reversed(list(rules.present.items())):
        # "-" is what proxies write for nothing.
        expr = when(expr, label, "[^-].*|-.+", "outcome", outcome)
    for label, words in reversed(list(rules.words.items())):
        for outcome in OUTCOMES:
            expr = _one_of(expr, label, [word for word, meaning in words.items() if meaning == outcome], outcome)
    return expr


def outcome_labels(rules: Outcomes) -> list[str]:
    """The labels that `with_outcome` reads; none where a profile does not tell how calls ended."""
    told = [*rules.words, *rules.present, rules.flags, rules.grpc, rules.status]
    return list(dict.fromkeys(label for label in told if label))


def tells_itself(rules: Outcomes) -> bool:
    """Whether the series have a label `outcome` with our own words, so that nothing is to be rewritten."""
    return set(rules.words) == {"outcome"} and all(word == meaning for word, meaning in rules.words["outcome"].items())


def _whole(pattern: str | None) -> str:
    if pattern is None:
        return _PLAIN
    before = "" if pattern.startswith("^") else ".*?"
    after = "" if pattern.endswith("$") else ".*"
    return f"{before}(?:{pattern.removeprefix('^').removesuffix('$')}){after}"


def _by_status(expr: str, label: str) -> str:
    """Classes first ("5xx", and Envoy's "5"), then the codes that are not judged by their class."""
    expr = when(expr, label, "[1-4](..)?", "outcome", "ok")
    expr = when(expr, label, "5(..)?", "outcome", "error")
    for outcome in OUTCOMES:
        expr = _one_of(expr, label, [str(code) for code, meaning in HTTP_OUTCOMES.items() if meaning == outcome], outcome)
    return expr


def _by_grpc(expr: str, label: str) -> str:
    expr = when(expr, label, "[1-9][0-9]*", "outcome", "error")
    for outcome in OUTCOMES:
        codes = [str(code) for code, meaning in GRPC_OUTCOMES.items() if meaning == outcome and code]
        expr = _one_of(expr, label, codes, outcome)
    return expr


def _by_flags(expr: str, label: str) -> str:
    for outcome in reversed(FLAG_PRECEDENCE):
        flags = "|".join(flag for flag, meaning in FLAG_OUTCOMES.items() if meaning == outcome)
        expr = when(expr, label, f"(.*,)?({flags})(,.*)?", "outcome", outcome)
    return expr


def _one_of(expr: str, label: str, values: Sequence[str], outcome: Outcome) -> str:
    return when(expr, label, "|".join(re.escape(value) for value in values), "outcome", outcome) if values else expr
