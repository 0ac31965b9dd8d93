"""Who calls whom, and what is exposed: with calls and callers as evidence, and nothing where nothing was seen."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshslo.analysis import from_calls
from meshslo.analysis.api import CallStore
from meshslo.analysis.config import Config, parse_config
from meshslo.analysis.security import Exposure, Security
from meshslo.telemetry.errors import BadConfigError, StoreError
from tests.support.calls import EPOCH, make_call, make_calls
from tests.support.series import make_histogram, make_series

GATEWAY, VECTORS, LAPTOP = (
    f"spiffe://cluster.local/ns/{name}" for name in ("chat/sa/gateway", "rag/sa/vectors", "dev/sa/laptop")
)


def calls(number: int, caller: str, callee: str, identity: str | None = None, **columns: Any) -> list[dict[str, Any]]:
    known = {"caller": caller, "callee": callee, "vantage": "proxy_in", "caller_identity": identity, "tenant": None}
    known |= {"mtls": True} if identity else {}
    return [make_call(at_s=float(n), **(known | columns)) for n in range(number)]


ENTRY = calls(50, "ingress", "gateway", mtls=False, tenant="acme")


def answer(rows: list[dict[str, Any]], config: str = "") -> Security:
    return from_calls(make_calls(rows)).security(config=parse_config(config))


def found(rows: list[dict[str, Any]], code: str, config: str = "") -> list[Exposure]:
    return [finding for finding in answer(rows, config).findings if finding.code == code]


def test_edges_say_who_called_over_which_connection() -> None:
    rows = [
        *calls(40, "gateway", "vectors", GATEWAY),
        *calls(3, "gateway", "vectors", mtls=False),
        *calls(2, "gateway", "vectors"),
    ]
    edges = answer([*ENTRY, *rows]).edges
    assert [(edge.caller_identity, edge.calls, edge.mutual, edge.plain, edge.untold) for edge in edges[:2]] == [
        (GATEWAY, 40, 40, 0, 0),
        (None, 5, 0, 3, 2),
    ]
    assert {(edge.callee, edge.callee_side) for edge in edges} == {("vectors", "internal"), ("gateway", "tenants")}


def test_a_call_seen_from_two_sides_counts_once() -> None:
    client = calls(90, "gateway", "vectors", vantage="client")
    (edge,) = answer([*client, *calls(40, "gateway", "vectors", GATEWAY)]).edges
    assert (edge.calls, edge.seen_by) == (40, "proxy_in")


def test_a_plain_path_across_the_boundary_is_found_with_its_calls() -> None:
    (finding,) = found(
        [*ENTRY, *calls(30, "gateway", "vectors", GATEWAY), *calls(4, "gateway", "vectors", mtls=False)], "MS431"
    )
    assert (finding.severity, finding.subject, finding.calls, finding.callers) == ("error", "gateway>vectors", 4, ("gateway",))
    assert "4 of 34 calls" in finding.message


@pytest.mark.parametrize(
    "rows",
    [
        calls(30, "gateway", "vectors", GATEWAY),  # proved
        calls(30, "gateway", "vectors"),  # not told
        calls(30, "batch", "vectors", mtls=False),  # from within
        calls(30, "ingress", "gateway", mtls=False),  # the entry itself
    ],
)
def test_no_other_path_is(rows: list[dict[str, Any]]) -> None:
    assert not found([*ENTRY, *rows], "MS431")


def test_who_is_refused_exposes_nothing() -> None:
    refused = calls(9, "gateway", "vectors", mtls=False, status_code=403, tenant="acme")
    knocking = calls(5, "laptop", "vectors", LAPTOP, status_code=403, tenant="acme")
    found = answer([*ENTRY, *calls(40, "gateway", "vectors", GATEWAY), *refused, *knocking])
    assert [(finding.code, finding.subject) for finding in found.findings] == [("MS433", "ingress>gateway")]
    assert {edge.caller: edge.refused for edge in found.edges if edge.refused} == {"gateway": 9, "laptop": 5}


def test_the_config_says_where_the_boundary_is() -> None:
    rows = [*ENTRY, *calls(5, "gateway", "front", mtls=False), *calls(5, "front", "vector-db", mtls=False)]
    config = '[boundary]\ntenant_facing = ["gateway", "fro*"]\ninternal = ["vector-*"]\n'
    assert [finding.subject for finding in found(rows, "MS431")] == ["gateway>front"]
    assert [finding.subject for finding in found(rows, "MS431", config)] == ["front>vector-db"]
    straight = found(calls(5, "ingress", "vector-db", mtls=False), "MS431", config)
    assert [finding.callers for finding in straight] == [("ingress",)]
    with pytest.raises(BadConfigError, match="x is both tenant_facing and internal"):
        parse_config('[boundary]\ntenant_facing = ["x"]\ninternal = ["x"]\n')


def test_an_identity_of_both_sides_is_found() -> None:
    rows = [*ENTRY, *calls(9, "gateway", "vectors", GATEWAY, callee_identity=GATEWAY)]
    (finding,) = found(rows, "MS432")
    assert finding.subject == "cluster.local/ns/chat/sa/gateway"
    assert "gateway (tenant-facing, 9 calls), vectors (internal, 9 calls)" in finding.message
    assert not found([*ENTRY, *calls(9, "gateway", "vectors", GATEWAY, callee_identity=VECTORS)], "MS432")


def test_a_tenant_that_anybody_can_write_is_found() -> None:
    plain = found([*ENTRY, *calls(7, "gateway", "vectors", mtls=False, tenant="acme")], "MS433")
    assert [(one.severity, one.subject, one.calls) for one in plain] == [
        ("error", "gateway>vectors", 7),
        ("note", "ingress>gateway", 50),
    ]


def test_a_tenant_that_a_caller_was_not_called_for_is_found() -> None:
    passed_on = [
        *ENTRY,
        *calls(9, "gateway", "ranker", GATEWAY, tenant="acme"),
        *calls(9, "ranker", "vectors", VECTORS, tenant="acme"),
    ]
    assert [one.severity for one in found(passed_on, "MS433")] == ["note"]
    made_up = [
        *passed_on,
        *calls(6, "laptop", "vectors", LAPTOP, tenant="acme"),
        *calls(2, "ranker", "vectors", VECTORS, tenant="bolt"),
    ]
    warnings = [one for one in found(made_up, "MS433") if one.severity == "warning"]
    assert [(one.subject, one.calls, one.callers) for one in warnings] == [
        ("laptop>vectors", 6, ("laptop",)),
        ("ranker>vectors", 2, ("ranker",)),
    ]


def test_hosts_that_nobody_approved_are_found_with_caller_and_volume() -> None:
    rows = [
        *calls(40, "agent", "api.openai.com", vantage="proxy_out", model="gpt"),
        *calls(6, "agent", "provider", vantage="client", peer="llm.example.org:443", model="odd"),
    ]
    config = '[egress]\napproved_hosts = ["*.openai.com"]\n'
    (finding,) = found(rows, "MS434", config)
    assert (finding.severity, finding.subject, finding.calls, finding.callers) == ("error", "llm.example.org", 6, ("agent",))
    assert "6 calls of odd" in finding.message
    assert [(host.host, host.approved) for host in answer(rows, config).hosts] == [
        ("api.openai.com", True),
        ("llm.example.org", False),
    ]
    assert [(one.severity, one.calls) for one in found(rows, "MS434")] == [("note", 46)]
    assert answer(rows, config).edges == ()


def test_what_the_mesh_cannot_name_is_never_approved() -> None:
    (finding,) = found(
        calls(8, "agent", "PassthroughCluster", vantage="proxy_out"), "MS434", '[egress]\napproved_hosts = ["*"]\n'
    )
    assert finding.subject == "PassthroughCluster"


def test_rare_callers_are_named_for_a_person_to_decide() -> None:
    rows = [*calls(400, "gateway", "vectors", GATEWAY), *calls(12, "laptop", "vectors", LAPTOP)]
    (finding,) = found(rows, "MS435")
    assert (finding.severity, finding.calls, finding.callers) == ("note", 12, ("laptop",))
    assert not found(calls(12, "laptop", "vectors", LAPTOP), "MS435")


def test_metrics_alone_tell_callers_and_hosts() -> None:
    known = {"caller_identity": GATEWAY, "callee_identity": VECTORS, "mtls": True, "reporter": "destination"}
    inside = make_histogram([10.0], [50.0], callee="vectors", **known)
    metrics = make_series([*inside, *make_histogram([10.0], [7.0], callee="api.openai.com")])
    none = make_calls(ENTRY).clear().lazy()
    found = CallStore(lambda _since, _until: none, "metrics", series=lambda *_: metrics.lazy()).security()
    assert [(edge.callee, edge.calls, edge.mutual, edge.seen_by) for edge in found.edges] == [
        ("vectors", 50, 50, "istio metrics")
    ]
    assert [(host.caller, host.host, host.calls) for host in found.hosts] == [("gateway", "api.openai.com", 7)]


def test_what_is_not_told_is_said() -> None:
    (finding,) = found([*calls(30, "gateway", "vectors", GATEWAY), *calls(20, "batch", "vectors")], "MS436")
    assert "20 of 50 calls do not say" in finding.message
    assert "batch>vectors" in finding.message


def test_nothing_is_said_of_no_calls() -> None:
    with pytest.raises(StoreError, match="holds no calls"):
        from_calls(make_calls(ENTRY).clear()).security()
    with pytest.raises(StoreError, match="no calls started in"):
        from_calls(make_calls(ENTRY)).security(since=EPOCH + timedelta(days=1))


_SERVICES = st.sampled_from(["ingress", "gateway", "vectors", "batch"])
_ROW = st.fixed_dictionaries(
    {
        "caller": _SERVICES, "callee": _SERVICES, "mtls": st.sampled_from([True, False, None]),
        "caller_identity": st.sampled_from([GATEWAY, LAPTOP, None]), "tenant": st.sampled_from(["acme", "bolt", None]),
        "vantage": st.sampled_from(["client", "proxy_in"]),
    }
)  # fmt: skip


@given(st.lists(_ROW, min_size=1, max_size=25), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_the_order_of_calls_changes_nothing_and_no_finding_counts_more_calls_than_there_are(rows, dice) -> None:
    made = [make_call(**row) for row in rows]
    whole = from_calls(make_calls(made)).security(config=Config())
    shuffled = dice.sample(made, len(made))
    assert from_calls(make_calls(shuffled)).security(config=Config()) == whole
    assert all(0 < finding.calls <= 2 * len(rows) for finding in whole.findings)
    assert sum(edge.calls for edge in whole.edges) <= len(rows)
