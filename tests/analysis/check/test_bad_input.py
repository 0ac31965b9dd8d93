"""What cannot be read is named with its file and line, and the rest is still checked."""

import pytest

from meshslo.analysis.check import Finding, check
from meshslo.telemetry.errors import BadInputError

GOOD = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: generator}
spec:
  http:
    - route: [{destination: {host: generator}}]
      timeout: 5s
      retries: {attempts: 2, retryOn: 5xx}
"""


def unreadable(text: str) -> Finding:
    """The finding about the bad file; the good one beside it is checked all the same."""
    items = check({"bad.yaml": text, "good.yaml": GOOD}).items
    assert {item.code for item in items if item.file == "good.yaml"} >= {"MS211", "MS213"}
    (item,) = [item for item in items if item.code == "MS900"]
    return item


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: {b", 1, "is no YAML"),
        ("a: 1\nb: 2\na: 3\n", 3, 'found duplicate key "a"'),
        ("kind: {{ .Values.kind }}\n", 1, "is a template; render it first"),
        ("a: 1\nb: caf\udce9\n", 2, "is no UTF-8"),
        ("- a\n", None, "document 1 is no mapping"),
        (GOOD.replace("timeout: 5s", "timeout: soon"), 7, 'timeout: "soon" is no duration'),
        (GOOD.replace("attempts: 2", "attempts: many"), 8, "attempts: 'many' is no number"),
        (GOOD.replace("- route: [{destination: {host: generator}}]", "- route: generator"), 6, "route is no list of mappings"),
        (GOOD.replace("metadata: {name: generator}", "metadata: generator"), 3, "metadata is no mapping but str"),
        (
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nspec: {trafficPolicy: 5}\n",
            3,
            "trafficPolicy is no mapping",
        ),
        (
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nspec:\n  rules: all\n",
            4,
            "rules is no list of mappings",
        ),
        ("static_resources: {clusters: [1]}\n", 1, "clusters is no list of mappings"),
    ],
)
def test_it_is_named_with_its_line_and_the_rest_is_checked(text: str, line: int | None, says: str) -> None:
    item = unreadable(text)
    assert (item.file, item.line, item.severity) == ("bad.yaml", line, "error")
    assert says in item.message


def test_one_bad_document_leaves_those_of_its_file_alone() -> None:
    items = check({"x.yaml": GOOD.replace("5s", "soon") + "---\n" + GOOD}).items
    assert [item.code for item in items] == ["MS900", "MS211", "MS213"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: {b", "is no YAML"),
        ("apiVersion: v1\nkind: Secret\n", "nothing to check in x.yaml: .* there is v1 Secret"),
        ("", "there is nothing"),
    ],
)
def test_nothing_that_could_be_checked_is_an_error(text: str, says: str) -> None:
    with pytest.raises(BadInputError, match=says):
        check({"x.yaml": text})


def test_kinds_that_no_rule_looks_at_are_counted() -> None:
    found = check({"x.yaml": GOOD + "---\napiVersion: batch/v1\nkind: Job\n" * 2})
    assert found.passed_over == {"batch/v1 Job": 2}


def test_a_list_as_kubectl_prints_it_is_read() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n  - " + GOOD.replace("\n", "\n    ")
    assert [(item.code, item.line) for item in check({"x.yaml": text}).items] == [("MS211", 11), ("MS213", 11)]


def test_json_with_tabs_is_read() -> None:
    text = '{\n\t"apiVersion": "networking.istio.io/v1",\n\t"kind": "DestinationRule",\n\t"spec": {"host": "a"}\n}'
    assert check({"x.json": text}).items == ()
