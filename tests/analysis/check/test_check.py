import json
from typing import Any

import jsonschema
import pytest

from meshslo.analysis.check import Finding, Findings, check, rules
from meshslo.analysis.config import Config, parse_config
from meshslo.analysis.recommend import Observed, observe
from meshslo.telemetry.errors import BadInputError
from tests.support.calls import make_call, make_calls
from tests.support.scenes import chain_calls
from tests.support.shared import shared


def route(callee: str = "generator", *, budget: bool = False, match: str = "{prefix: /}", **action: Any) -> str:
    """A bootstrap with one route; a line for each field."""
    lines = [f"            {key.replace('__', '.')}: {json.dumps(value)}" for key, value in action.items()]
    limits = ["max_requests: 100", *(["retry_budget: {budget_percent: {value: 5}, budget_interval: 10s}"] if budget else [])]
    return (
        "static_resources:\n"
        "  listeners:\n"
        "  - route_config:\n"
        "      virtual_hosts:\n"
        "      - name: all\n"
        "        routes:\n"
        f"        - match: {match}\n"
        "          route:\n"
        f"            cluster: {callee}\n" + "\n".join(lines) + "\n  clusters:\n"
        f"  - name: {callee}\n    circuit_breakers: {{thresholds: [{{{', '.join(limits)}}}]}}\n"
    )


def retry(on: str = "connect-failure", count: int = 1, **more: Any) -> dict[str, Any]:
    return {"retry_on": on, "num_retries": count, **more}


def found(text: str, observed: Observed | None = None) -> dict[str, Finding]:
    return {item.code: item for item in check({"front.yaml": text}, observed).items}


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def seen(*rows: dict[str, Any], config: Config | None = None) -> Observed:
    return observe(make_calls(list(rows)).lazy(), config)


def test_a_sound_route_has_no_findings() -> None:
    assert found(route(timeout="45s", retry_policy=retry(), budget=True)) == {}


@pytest.mark.parametrize("conditions", ["5xx", "connect-failure,reset", "gateway-error"])
def test_retries_of_what_may_run_twice(conditions: str) -> None:
    text = route(timeout="45s", budget=True, retry_policy=retry(conditions))
    (item,) = found(text).values()
    assert (item.code, item.severity, item.confirmed, item.line) == ("MS211", "warning", False, line_of(text, "retry_policy"))


def test_calls_that_were_repeated_confirm_it() -> None:
    rows = [make_call(vantage="proxy_out", attempt=1 + n % 2) for n in range(20)]
    item = found(route(timeout="45s", budget=True, retry_policy=retry("5xx")), seen(*rows))["MS211"]
    assert (item.severity, item.confirmed) == ("error", True)
    assert "10 calls were repeated" in item.message


def test_idempotent_hops_may_repeat() -> None:
    config = parse_config('[hops."gateway>generator"]\nidempotent = true')
    assert "MS211" not in found(route(timeout="45s", budget=True, retry_policy=retry("5xx")), seen(make_call(), config=config))


def test_retries_without_a_budget() -> None:
    assert set(found(route(timeout="45s", retry_policy=retry()))) == {"MS213"}


def test_attempts_that_do_not_fit() -> None:
    item = found(route(timeout="1s", budget=True, retry_policy=retry(count=2, per_try_timeout="0.4s")))["MS214"]
    assert "3 attempts at generator of 400 ms each need 1.3 s with back-off, and the call ends after 1 s" in item.message
    assert "MS214" not in found(route(timeout="1.3s", budget=True, retry_policy=retry(count=2, per_try_timeout="0.4s")))


def test_a_timeout_that_nobody_set() -> None:
    text = route()
    item = found(text)["MS112"]
    assert "calls of generator end after 15 s, which nobody set" in item.message
    assert "MS112" not in found(route(timeout="0s"))


def chain(gateway: dict[str, Any], generator: dict[str, Any]) -> dict[str, str]:
    return {
        "gateway.yaml": route("gateway", budget=True, **gateway),
        "generator.yaml": route("generator", budget=True, **generator),
        "retriever.yaml": route("retriever", timeout="1s"),
    }


def test_a_caller_that_gives_up_first() -> None:
    observed = observe(chain_calls().lazy())
    texts = chain({"timeout": "10s"}, {"timeout": "30s"})
    (item,) = check(texts, observed).items
    assert (item.code, item.file) == ("MS111", "gateway.yaml")
    assert "ingress>gateway ends after 10 s, and waits for gateway>generator, which may take 30 s" in item.message
    assert check(texts).items == ()
    assert check(chain({"timeout": "31s"}, {"timeout": "30s"}), observed).items == ()


def test_layers_that_multiply() -> None:
    observed = observe(chain_calls().lazy())
    texts = chain({"timeout": "31s", "retry_policy": retry(count=2)}, {"timeout": "30s", "retry_policy": retry(count=1)})
    (item,) = check(texts, observed).items
    assert item.code == "MS212"
    assert "in an outage one call becomes 6" in item.message
    assert "gateway>generator alone" in item.instead


def test_streams_that_the_timer_cut() -> None:
    observed = observe(chain_calls(cap_s=3.0).lazy(), parse_config("[objectives]\nfalse_timeout_ratio = 0.01"))
    texts = {"gateway.yaml": route("gateway", timeout="3s")}
    (item,) = check(texts, observed).items
    assert (item.code, item.severity, item.confirmed, item.line) == (
        "MS113",
        "error",
        True,
        line_of(texts["gateway.yaml"], "timeout"),
    )
    assert item.message.startswith("this 3 s timeout cut ")
    assert "MS113" not in {item.code for item in check(texts, observe(chain_calls().lazy())).items}


@pytest.mark.parametrize(
    ("comment", "silent"),
    [
        ("# meshslo:ignore MS112 agreed with SRE", True),
        ("# meshslo:ignore MS112", False),
        ("# meshslo:ignore MS211 other", False),
    ],
)
def test_a_finding_is_silenced_with_a_reason(comment: str, silent: bool) -> None:
    text = route().replace("          route:\n", f"          route:  {comment}\n")
    assert ("MS112" not in found(text)) is silent


def test_a_broken_file_is_a_finding_and_the_others_are_checked() -> None:
    items = check({"a.yaml": "a: {b", "b.yaml": route()}).items
    assert (items[0].code, items[0].place) == ("MS900", "a.yaml:1")
    assert items[1].code == "MS112"


def test_nothing_readable_is_an_error() -> None:
    with pytest.raises(BadInputError, match=r"a\.yaml:1 is no YAML"):
        check({"a.yaml": "a: {b"})


def test_severities_are_ordered() -> None:
    items = tuple(Finding(f"MS{n}", severity, "f", 1, "m", "i") for n, severity in enumerate(("info", "warning", "error")))  # type: ignore[arg-type]
    assert [len(Findings(items).at_least(severity)) for severity in ("info", "warning", "error")] == [3, 2, 1]


def test_sarif_names_rule_file_and_line() -> None:
    log = json.loads(check({"front.yaml": route()}).to_sarif())
    (result,) = log["runs"][0]["results"]
    assert result["ruleId"] in {rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]}
    location = result["locations"][0]["physicalLocation"]
    assert (location["artifactLocation"]["uri"], location["region"]["startLine"]) == ("front.yaml", line_of(route(), "cluster"))
    jsonschema.validate(result["level"], {"enum": ["note", "warning", "error"]})


def test_rules_have_codes_and_reasons_of_their_own() -> None:
    every = rules()
    assert len({rule.code for rule in every}) == len({rule.name for rule in every}) == len(every)


def test_manifests_in_the_wild_are_checked() -> None:
    texts = {str(path.relative_to(shared("data"))): path.read_text() for path in shared("data", "manifests").rglob("*.yaml")}
    items = check(texts).items
    assert all(item.file in texts and item.instead for item in items)
