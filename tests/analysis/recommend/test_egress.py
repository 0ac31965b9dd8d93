"""Which hosts outside: those called, against those approved; what is inside is none, too few calls tell nothing."""

from typing import Any

import pytest

from meshslo.analysis.config import Config, Egress
from meshslo.analysis.recommend import Recommendation, observe, recommend
from meshslo.analysis.recommend.callers import bare, is_outside
from tests.support.calls import make_call, make_calls
from tests.support.series import make_histogram, make_series

APPROVED = Egress(approved_hosts=("*.openai.com",))


def called(peer: str | None, number: int, **columns: Any) -> list[dict[str, Any]]:
    given = {"caller": "generator", "callee": "provider", "vantage": "client", "peer": peer} | columns
    return [make_call(at_s=float(n), **given) for n in range(number)]


def answer(rows: list[dict[str, Any]], *approved: str) -> Recommendation:
    config = Config(egress=Egress(approved_hosts=approved))
    (item,) = recommend(observe(make_calls(rows).lazy(), config), ["egress"]).items
    return item


def test_hosts_that_nobody_approved_are_named_with_caller_and_volume() -> None:
    rows = [*called("api.openai.com:443", 300, model="gpt"), *called("llm.example.org", 12, model="odd")]
    item = answer(rows, "*.openai.com")
    assert (item.status, item.wanted) == ("change", "api.openai.com")
    assert str(item.target) == "generator>*"
    assert "nobody approved, 3.8 % of its calls outside: llm.example.org (12 calls of odd)" in item.reason
    assert item.effect["refused_rate"].after == pytest.approx(12 / 312)


def test_without_a_list_all_that_was_called_is_proposed_for_a_person_to_strike_out() -> None:
    item = answer([*called("b.example.org", 200), *called("a.example.org", 200)])
    assert item.wanted == "a.example.org,b.example.org"
    assert "egress.approved_hosts in the config is empty" in item.reason


def test_nothing_approved_is_no_host() -> None:
    assert answer(called("a.example.org", 400), "api.openai.com").wanted == "none"


def test_who_calls_nobody_outside_is_left_alone() -> None:
    rows = called("retriever.chat.svc.cluster.local", 400, callee="retriever")
    item = answer(rows)
    assert (item.status, item.proposed) == ("keep", None)


def test_too_few_calls_tell_nothing() -> None:
    item = answer(called("a.example.org", 20))
    assert (item.status, item.proposed) == ("not_identifiable", None)
    assert "280 more calls of generator are needed" in item.reason
    assert "so far: a.example.org (20 calls of m)" in item.reason


def test_a_call_seen_by_client_and_proxy_counts_once() -> None:
    proxied = called(None, 300, callee="api.openai.com", vantage="proxy_out")
    item = answer([*called("api.openai.com", 300, callee="api.openai.com"), *proxied, *called(None, 100, callee="vectors")])
    assert item.evidence.calls == 400
    assert "api.openai.com (300 calls of m)" in item.reason


def test_what_the_mesh_cannot_name_is_never_allowed() -> None:
    rows = [*called(None, 300, callee="api.openai.com"), *called(None, 9, callee="PassthroughCluster")]
    for approved in ((), ("*",)):
        assert answer(rows, *approved).wanted == "api.openai.com"


def test_metrics_alone_tell_hosts() -> None:
    hosts = {"api.openai.com": 320.0, "llm.example.org": 12.0, "vectors": 50.0}
    rows = [row for host, calls in hosts.items() for row in make_histogram([10.0], [calls], caller="agent", callee=host)]
    observed = observe(make_calls([make_call()]).clear().lazy(), Config(egress=APPROVED), None, make_series(rows).lazy())
    (item,) = recommend(observed, ["egress"]).items
    assert (str(item.target), item.wanted, item.evidence.calls) == ("agent>*", "api.openai.com", 382)
    assert "llm.example.org (12 calls)" in item.reason


@pytest.mark.parametrize(
    ("host", "outside"),
    [
        ("api.openai.com", True), ("API.OpenAI.com:443", True), ("2001:4860:4860::8888", True),
        ("[2001:4860:4860::8888]:443", True),
        ("127.0.0.1:8080", False), ("10.1.2.3", False), ("localhost", False), ("vectors.svc", False), ("db.internal", False),
    ],
)  # fmt: skip
def test_hosts_outside(host: str, outside: bool) -> None:
    assert is_outside(host) is outside
    assert ":443" not in bare(host)
