"""Findings that people decided to live with."""

import json

import pytest

from meshslo.analysis.check import Asked, Findings, check, parse_baseline, to_baseline
from meshslo.analysis.config import parse_config
from meshslo.telemetry.errors import BadConfigError, BadInputError

TEXT = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: generator}
spec:
  http:
    - route: [{destination: {host: generator}}]
      timeout: 5s
      retries: {attempts: 2, retryOn: 5xx}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: retriever}
spec:
  http:
    - route: [{destination: {host: retriever}}]
      timeout: 5s
      retries: {attempts: 2, retryOn: 5xx}
"""


def codes(found: Findings) -> list[tuple[str, int | None]]:
    return [(item.code, item.line) for item in found.items]


BOTH = [("MS211", 8), ("MS213", 8), ("MS211", 17), ("MS213", 17)]


def test_an_annotation_silences_its_own_resource() -> None:
    text = TEXT.replace(
        "{name: generator}", '{name: generator, annotations: {meshslo/ignore: "MS211 agreed with ML; MS213 as well"}}'
    )
    found = check({"x.yaml": text})
    assert codes(found) == BOTH[2:]
    assert found.silenced == 2


def test_an_annotation_needs_its_reason() -> None:
    text = TEXT.replace("{name: generator}", "{name: generator, annotations: {meshslo/ignore: MS211}}")
    assert codes(check({"x.yaml": text})) == [("MS922", 3), *BOTH]


def test_the_config_silences_by_code_and_path() -> None:
    config = parse_config('[[check.ignore]]\ncode = "MS211"\npath = "legacy/*"\nreason = "goes away in May"')
    found = check({"legacy/a/x.yaml": TEXT, "new/x.yaml": TEXT}, asked=Asked(ignores=config.check.ignore))
    assert [item.code for item in found.items if item.file.startswith("legacy")] == ["MS213", "MS213"]
    assert codes(found)[2:] == BOTH


def test_the_config_needs_a_reason() -> None:
    with pytest.raises(BadConfigError, match="reason"):
        parse_config('[[check.ignore]]\ncode = "MS211"')


def test_a_baseline_keeps_quiet_about_what_was_there_and_lines_may_move() -> None:
    before = check({"x.yaml": TEXT})
    known = parse_baseline(to_baseline(before.items), "baseline.json")
    moved = "# A word on top.\n\n" + TEXT + TEXT.replace("generator", "new").partition("---")[0].join(("---\n", ""))
    after = check({"x.yaml": moved}, asked=Asked(baseline=known))
    assert [item.code for item in after.items] == ["MS211", "MS213"]
    assert {item.line for item in after.items} == {28}
    assert after.known == 4


def test_equal_lines_have_fingerprints_of_their_own() -> None:
    found = check({"x.yaml": TEXT}).items
    assert len({item.fingerprint for item in found}) == len(found) == 4


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"schema": "other/1", "findings": []})])
def test_what_is_no_baseline_is_named(text: str) -> None:
    with pytest.raises(BadInputError, match=r"baseline\.json"):
        parse_baseline(text, "baseline.json")
