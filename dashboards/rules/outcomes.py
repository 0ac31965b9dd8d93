"""Which series are of calls that ended so: an outcome as disjoint sets of label matchers, by a profile's rules.

The rules are those by which pulled series are read (`telemetry.prometheus.labels.outcome_of`): words, then presence, then
response flags, then gRPC and HTTP status. A later rule speaks where those before it are silent.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from meshslo.telemetry.outcome import FLAG_OUTCOMES, FLAG_PRECEDENCE, GRPC_OUTCOMES, HTTP_OUTCOMES
from meshslo.telemetry.prometheus.labels import ABSENT
from meshslo.telemetry.prometheus.profile import Outcomes
from meshslo.telemetry.vocabulary import Outcome

Matchers = tuple[str, ...]
"""Label matchers that all hold of a series."""


@dataclass(frozen=True)
class _Rule:
    """What one label says of the outcomes asked for: pairs of a pattern and an excepted one; and when it says nothing.

    Patterns hold for the whole value, as Prometheus matches them.
    """

    label: str
    says: list[tuple[str, str]]
    silent: str
    """A matcher."""


def outcome_matchers(rules: Outcomes, wanted: Collection[Outcome]) -> tuple[Matchers, ...]:
    """The sets of matchers of the series whose calls ended in one of `wanted`; no series is in two sets.

    >>> outcome_matchers(Outcomes(words={"outcome": {"fine": "ok", "late": "timeout"}}), ["timeout"])
    (('outcome="late"',),)
    """
    found: list[Matchers] = []
    before: Matchers = ()
    for rule in _rules(rules, wanted):
        for pattern, excepted in rule.says:
            but = (_matcher(rule.label, "!~", excepted),) if excepted else ()
            found.append((*before, _matcher(rule.label, "=~", pattern), *but))
        before = (*before, rule.silent)
    if rules.otherwise in wanted:
        found.append(before)
    return tuple(found)


def _rules(rules: Outcomes, wanted: Collection[Outcome]) -> Iterator[_Rule]:
    for label, words in rules.words.items():
        own = _any(word for word, said in words.items() if said in wanted)
        yield _Rule(label, [(own, "")] if own else [], _matcher(label, "!~", _any(words)))
    for label, outcome in rules.present.items():
        nothing = _any(sorted(ABSENT))
        yield _Rule(label, [(".*", nothing)] if outcome in wanted else [], _matcher(label, "=~", nothing))
    if rules.flags:
        yield _flags(rules.flags, wanted)
    yield from _numbers(rules, wanted)


def _numbers(rules: Outcomes, wanted: Collection[Outcome]) -> Iterator[_Rule]:
    """Codes that are not 0, gRPC's first; then gRPC's 0, which is ok; then HTTP's 0, a call without an answer."""
    if rules.grpc:
        listed = {code: outcome for code, outcome in GRPC_OUTCOMES.items() if code}
        yield _codes(rules.grpc, listed, {"error": "[1-9][0-9]*"}, wanted)
    if rules.status:
        yield _codes(rules.status, HTTP_OUTCOMES, {"ok": "[1-4][0-9][0-9]", "error": "[5-9][0-9][0-9]"}, wanted)
    if rules.grpc:
        yield _codes(rules.grpc, {}, {"ok": "0"}, wanted)
    if rules.status:
        yield _codes(rules.status, {}, {"error": "0"}, wanted)


def _flags(label: str, wanted: Collection[Outcome]) -> _Rule:
    """Of several flags the strongest decides: neighbours in precedence are one pattern, but for all that are stronger."""
    says: list[tuple[str, str]] = []
    stronger: list[str] = []
    for chosen, outcomes in groupby(FLAG_PRECEDENCE, key=lambda outcome: outcome in wanted):
        own = [flag for outcome in outcomes for flag, said in FLAG_OUTCOMES.items() if said == outcome]
        if chosen:
            says.append((_holds(own), _holds(stronger) if stronger else ""))
        stronger += own
    return _Rule(label, says, _matcher(label, "!~", _holds(stronger)))


def _codes(label: str, listed: Mapping[int, Outcome], classes: Mapping[Outcome, str], wanted: Collection[Outcome]) -> _Rule:
    """Whole classes but for the codes listed apart, and those of the listed codes that are wanted."""
    chosen = [str(code) for code, outcome in listed.items() if outcome in wanted]
    pattern = "|".join([*(text for outcome, text in classes.items() if outcome in wanted), *chosen])
    excepted = _any(str(code) for code, outcome in listed.items() if outcome not in wanted)
    is_class = any(outcome in wanted for outcome in classes)
    says = [(pattern, excepted if is_class else "")] if pattern else []
    return _Rule(label, says, _matcher(label, "!~", "|".join(classes.values())))


def _holds(flags: Iterable[str]) -> str:
    return f"(.*,)?({_any(flags)})(,.*)?"


def _any(values: Iterable[str]) -> str:
    return "|".join(re.escape(value).replace("\\-", "-") for value in values)


def _matcher(label: str, operator: str, pattern: str) -> str:
    plain = operator == "=~" and re.fullmatch(r"[\w ]+", pattern)
    shown = pattern.replace("\\", "\\\\").replace('"', '\\"')
    return f'{label}{"=" if plain else operator}"{shown}"'
