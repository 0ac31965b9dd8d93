"""Every rule on a manifest that has the mistake, and on the same one mended."""

import pytest

from meshslo.analysis.check import Asked, Finding, check, rules
from tests.support.rule_cases import CASES, Case

DATA_RULES = {"MS111", "MS113", "MS114", "MS116", "MS117", "MS212", "MS220", "MS312"}
"""Rules that find nothing without calls: `test_check.py` and `test_confirmed.py` have them."""


def found(text: str, case: Case) -> list[Finding]:
    return [item for item in check({"x.yaml": text}, asked=Asked(versions=case.versions)).items if item.code == case.code]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.at.strip()}")
def test_a_mistake_is_found_where_it_stands_and_gone_when_mended(case: Case) -> None:
    items = found(case.text, case)
    assert items, "not found"
    line = 1 + case.text[: case.text.index(case.at)].count("\n")
    assert any(item.line == line and case.says in item.message for item in items), [(i.line, i.message) for i in items]
    assert found(case.text.replace(*case.mend), case) == []


def test_rules_that_need_calls_are_named_where_there_are_none() -> None:
    case = CASES[0]
    assert set(check({"x.yaml": case.text}).need_calls) == DATA_RULES == {rule.code for rule in rules() if rule.needs_calls}


def test_every_rule_has_a_case() -> None:
    told = {case.code for case in CASES} | DATA_RULES | {"MS900"}
    assert {rule.code for rule in rules()} == told


def test_every_rule_explains_itself() -> None:
    for rule in rules():
        assert rule.finds.endswith("."), rule.code
        assert rule.why.endswith("."), rule.code
        assert not rule.instead.endswith("."), rule.code
        assert len(rule.why) > 40, rule.code
        assert rule.evidence, rule.code
    assert len({rule.name for rule in rules()}) == len(rules())
