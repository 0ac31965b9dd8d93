import pytest

from meshslo.analysis.check import pages, rules
from tests.support.shared import ROOT

FOLDER = ROOT / "docs" / "rules"


def test_the_pages_in_docs_are_current() -> None:
    """`make rule-docs` writes them."""
    assert {path.name: path.read_text() for path in FOLDER.glob("*.md")} == pages(rules())


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.code)
def test_every_rule_is_in_the_list_and_has_a_page(rule) -> None:
    every = pages(rules())
    assert f"[{rule.code}]({rule.code}.md)" in every["README.md"]
    page = every[f"{rule.code}.md"]
    assert all(f"## {heading}" in page for heading in ("What it finds", "Why it hurts", "Instead", "Evidence"))
