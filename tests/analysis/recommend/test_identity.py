"""Who may call whom: nothing is closed to a caller that was seen, nothing proposed on too little, rare callers set apart."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from meshslo.analysis.api import CallStore
from meshslo.analysis.policy.deployed import read_deployed
from meshslo.analysis.recommend import Recommendation, observe, recommend
from meshslo.telemetry.errors import StoreError
from meshslo.telemetry.store.metrics import conform_series
from tests.support.calls import EPOCH, make_call, make_calls

GATEWAY = "spiffe://cluster.local/ns/chat/sa/gateway"
BATCH = "spiffe://cluster.local/ns/jobs/sa/batch"


def calls(number: int, **columns: Any) -> list[dict[str, Any]]:
    known = {"vantage": "proxy_in", "mtls": True, "caller_identity": GATEWAY, "method": "POST"}
    return [make_call(at_s=float(n), **(known | columns)) for n in range(number)]


def answers(rows: list[dict[str, Any]], manifests: dict[str, str] | None = None) -> dict[tuple[str, str], Recommendation]:
    found = recommend(observe(make_calls(rows).lazy(), None, read_deployed(manifests or {})), ["identities"])
    return {(item.setting, f"{item.target}"): item for item in found.items}


def test_least_privilege_is_what_was_seen() -> None:
    found = answers([*calls(400), *calls(400, route="/v1/embed", caller="batch", caller_identity=BATCH, method="GET")])
    chat = found["allowed_principals", "gateway>generator /v1/chat"]
    assert (chat.status, chat.wanted) == ("change", "cluster.local/ns/chat/sa/gateway")
    assert found["allowed_methods", "gateway>generator /v1/chat"].wanted == "POST"
    assert found["allowed_principals", "batch>generator /v1/embed"].wanted == "cluster.local/ns/jobs/sa/batch"
    assert found["allowed_methods", "batch>generator /v1/embed"].wanted == "GET"
    for hop in ("gateway>generator", "batch>generator"):
        assert (found["mtls_strict", hop].status, found["mtls_strict", hop].wanted) == ("change", "STRICT")
    assert "fewer than 0.37 % do not" in found["mtls_strict", "gateway>generator"].reason


def test_rare_callers_and_methods_are_set_apart() -> None:
    odd = "spiffe://cluster.local/ns/dev/sa/laptop"
    found = answers([*calls(400), *calls(5, caller_identity=odd), *calls(3, method="DELETE")])
    principals = found["allowed_principals", "gateway>generator /v1/chat"]
    assert principals.wanted == "cluster.local/ns/chat/sa/gateway"
    assert "for a person to decide: cluster.local/ns/dev/sa/laptop (5)" in principals.reason
    assert principals.effect["refused_rate"].after == pytest.approx(5 / 408)
    methods = found["allowed_methods", "gateway>generator /v1/chat"]
    assert methods.wanted == "POST"
    assert "DELETE (3)" in methods.reason


def test_who_was_refused_is_not_let_in_for_asking_often() -> None:
    knocking = calls(500, caller="laptop", caller_identity="spiffe://cluster.local/ns/dev/sa/laptop", status_code=403)
    found = answers([*calls(400), *calls(50, status_code=403), *knocking])
    gateway = found["allowed_principals", "gateway>generator /v1/chat"]
    assert (gateway.wanted, gateway.evidence.calls) == ("cluster.local/ns/chat/sa/gateway", 400)
    assert "50 calls that were refused are none of them" in gateway.reason
    laptop = found["allowed_principals", "laptop>generator /v1/chat"]
    assert (laptop.status, laptop.proposed) == ("not_identifiable", None)


def test_strict_is_not_proposed_where_it_would_break_a_caller() -> None:
    rows = [*calls(400), *calls(2, caller="legacy", mtls=False, caller_identity=None)]
    for hop in ("gateway>generator", "legacy>generator"):
        strict = answers(rows)["mtls_strict", hop]
        assert (strict.status, strict.proposed) == ("keep", None)
        assert "legacy (2 calls)" in strict.reason


def test_plain_calls_of_a_caller_without_a_name_keep_strict_away() -> None:
    """An inbound access log names no calling service: it may be anybody, and STRICT would refuse them."""
    nobody: dict[str, Any] = {"caller": "unknown", "mtls": False, "caller_identity": None}
    strict = answers([*calls(400), *calls(7, **nobody)])["mtls_strict", "gateway>generator"]
    assert (strict.status, strict.wanted) == ("keep", None)
    assert "unknown (7 calls)" in strict.reason


def test_inbound_access_logs_alone_say_who_calls() -> None:
    found = answers(calls(400, caller="unknown"))
    assert found["mtls_strict", "unknown>generator"].wanted == "STRICT"
    assert found["allowed_principals", "unknown>generator /v1/chat"].wanted == "cluster.local/ns/chat/sa/gateway"


@pytest.mark.parametrize("number", [10, 299])
def test_too_few_calls_close_nothing(number: int) -> None:
    for item in answers(calls(number)).values():
        assert (item.status, item.proposed) == ("not_identifiable", None)
        assert f"{300 - number} more calls" in item.reason


def test_calls_that_nobody_looked_at_say_nothing() -> None:
    for item in answers(calls(500, mtls=None, caller_identity=None)).values():
        assert item.status == "not_identifiable"


def test_one_call_seen_from_two_places_counts_once_from_where_more_is_known() -> None:
    client = calls(900, vantage="client", mtls=None, caller_identity=None)
    found = answers([*client, *calls(400)])
    assert found["allowed_principals", "gateway>generator /v1/chat"].evidence.calls == 400


def series(**columns: Any) -> dict[str, Any]:
    """A histogram of Istio's: ten calls a minute in a bucket for an hour, as the callee's side reports them."""
    steps = [EPOCH + timedelta(minutes=n) for n in range(60)]
    known = {
        "source": "http://prometheus", "profile": "istio", "instrument": "istio_request_duration_milliseconds", "preference": 0,
        "reporter": "destination", "start": steps, "step_s": 60.0, "caller": "gateway", "callee": "generator",
        "hop": "gateway>generator", "caller_identity": GATEWAY, "mtls": True, "outcome": "ok", "phase": "total",
        "measure": "bucket", "low_s": 0.0, "high_s": 10.0, "value": [10.0] * 60,
    }  # fmt: skip
    return known | columns


def test_metrics_alone_tell_who_calls_whom() -> None:
    rows = [series(), series(reporter="source", mtls=None, caller_identity=None, value=[12.0] * 60), series(measure="sum_s")]
    metrics = conform_series(pl.from_dicts(rows, infer_schema_length=None))
    store = CallStore(
        lambda _since, _until: make_calls([make_call()]).clear().lazy(), "metrics", series=lambda *_: metrics.lazy()
    )
    found = {(item.setting, item.target.route): item for item in store.recommend(["identity"]).items}
    principals = found["allowed_principals", None]
    assert (principals.wanted, principals.evidence.calls) == ("cluster.local/ns/chat/sa/gateway", 600)
    assert principals.evidence.window_s == 59 * 60
    assert found["mtls_strict", None].wanted == "STRICT"
    with pytest.raises(StoreError, match="settings follow from calls"):
        store.recommend(["identity", "timeouts"])


def test_a_shared_identity_is_said() -> None:
    item = answers(calls(400, callee_identity=GATEWAY))["allowed_principals", "gateway>generator /v1/chat"]
    assert "share the identity cluster.local/ns/chat/sa/gateway" in item.reason


def test_providers_outside_the_mesh_have_no_identity_in_it() -> None:
    assert answers(calls(400, callee="openai", peer="api.openai.com", vantage="client")) == {}


def test_what_is_deployed_and_enough_is_kept() -> None:
    manifest = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: generator}
spec: {selector: {matchLabels: {app: generator}}, mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: generator}
spec:
  selector: {matchLabels: {app: generator}}
  rules: [{from: [{source: {principals: [PRINCIPAL]}}]}]
"""
    kept = answers(calls(400), {"a.yaml": manifest.replace("PRINCIPAL", "cluster.local/ns/chat/sa/gateway")})
    assert kept["mtls_strict", "gateway>generator"].status == "keep"
    assert kept["allowed_principals", "gateway>generator /v1/chat"].status == "keep"
    too_wide = answers(calls(400), {"a.yaml": manifest.replace("PRINCIPAL", '"*"')})
    item = too_wide["allowed_principals", "gateway>generator /v1/chat"]
    assert (item.status, item.current and item.current.value) == ("change", "*")


def test_the_order_of_calls_changes_nothing() -> None:
    rows = make_calls([*calls(400), *calls(40, caller="batch", caller_identity=BATCH), *calls(4, mtls=False)])
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=2)
    assert recommend(observe(rows.lazy()), ["identity"]) == recommend(observe(shuffled.lazy()), ["identity"])
    assert isinstance(rows, pl.DataFrame)
