"""Which spans are calls, from which vantage, and what a row says."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meshslo.telemetry.normalize import normalize, resolve, to_calls
from tests.telemetry.normalize.otlp import CLIENT, INTERNAL, SERVER, Spec, calls_of, envoy, normalized, spans_of, spec

# users > Envoy > gateway > Envoy > generator; each service behind its own Envoy.
CHAIN = (
    envoy(10, "gateway", SERVER, attributes={"node_id": "edge-0"}),
    envoy(11, "gateway", CLIENT, 10),
    spec(12, "gateway", SERVER, 11, attributes={"http.route": "/v1/chat", "tenant.id": "acme"}),
    spec(13, "gateway", INTERNAL, 12),
    spec(14, "gateway", CLIENT, 13, attributes={"server.address": "127.0.0.1", "gen_ai.request.model": "small"}),
    envoy(15, "generator", SERVER, 14),
    envoy(16, "generator", CLIENT, 15, attributes={"http.status_code": "503"}),
    envoy(17, "generator", CLIENT, 15, at_s=0.1, attributes={"retry.count": "1"}),
    spec(18, "generator", SERVER, 17, attributes={"http.route": "/v1/chat/completions"}),
)


def seen(*specs: Spec) -> dict[int, tuple[str, str]]:
    """(vantage, hop) of every row by span id."""
    return {number: (row["vantage"], row["hop"]) for number, row in calls_of(*specs).items()}


def test_a_chain_of_services_behind_their_proxies() -> None:
    assert seen(*CHAIN) == {
        10: ("proxy_in", "ingress>gateway"),
        11: ("proxy_out", "ingress>gateway"),
        12: ("server", "ingress>gateway"),
        14: ("client", "gateway>generator"),
        15: ("proxy_in", "gateway>generator"),
        16: ("proxy_out", "gateway>generator"),
        17: ("proxy_out", "gateway>generator"),
        18: ("server", "gateway>generator"),
    }


def test_each_attempt_of_a_proxy_has_its_number() -> None:
    calls = calls_of(*CHAIN)
    assert (calls[16]["attempt"], calls[17]["attempt"], calls[15]["attempt"]) == (1, 2, 1)
    assert (calls[16]["outcome"], calls[17]["outcome"]) == ("error", "ok")


def test_parents_point_at_calls_over_internal_spans() -> None:
    assert calls_of(*CHAIN)[14]["parent_span_id"] == (12).to_bytes(8, "big")


def test_tenant_and_model_of_the_trace_reach_every_row() -> None:
    calls = calls_of(*CHAIN).values()
    assert {row["tenant"] for row in calls} == {"acme"}
    assert {row["model"] for row in calls} == {"small"}


def test_rows_of_one_call_share_its_route() -> None:
    calls = calls_of(*CHAIN)
    assert {calls[number]["route"] for number in (10, 11, 12)} == {"/v1/chat"}
    assert {calls[number]["route"] for number in (14, 15, 16, 17, 18)} == {"/v1/chat/completions"}


def test_two_models_in_a_trace_are_not_guessed_for_others() -> None:
    calls = calls_of(
        spec(1, "gateway", SERVER),
        spec(2, "gateway", CLIENT, 1, attributes={"gen_ai.request.model": "small"}),
        spec(3, "generator", SERVER, 2),
        spec(4, "gateway", CLIENT, 1, attributes={"gen_ai.request.model": "large"}),
        spec(5, "generator", SERVER, 4),
    )
    assert [calls[number]["model"] for number in (1, 3, 5)] == [None, "small", "large"]


@pytest.fixture(scope="module")
def whole() -> pl.DataFrame:
    """The calls of the whole chain."""
    return normalized(*CHAIN).calls.sort("span_id")


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(CHAIN))
def test_the_order_of_spans_changes_nothing(whole: pl.DataFrame, order: list[Spec]) -> None:
    assert_frame_equal(normalized(*order).calls.sort("span_id"), whole)


@settings(max_examples=15, deadline=None)
@given(early=st.sets(st.integers(0, len(CHAIN) - 1)))
def test_rows_that_meet_later_are_completed_then(whole: pl.DataFrame, early: set[int]) -> None:
    parts = [[CHAIN[i] for i in sorted(early)], [item for i, item in enumerate(CHAIN) if i not in early]]
    met = resolve(pl.concat([to_calls(spans_of(*part)) for part in parts])).sort("span_id")
    assert_frame_equal(met.select("span_id", "hop", "tenant", "model"), whole.select("span_id", "hop", "tenant", "model"))


def test_resolving_twice_changes_nothing() -> None:
    once = normalized(*CHAIN).calls
    assert_frame_equal(resolve(once), once)


def test_a_span_that_arrives_twice_counts_once() -> None:
    assert normalize(pl.concat([spans_of(*CHAIN), spans_of(*CHAIN)])).calls.height == 8


def test_a_parent_outside_of_the_frame_leaves_the_caller_unknown() -> None:
    row = calls_of(spec(2, "generator", SERVER, 1))[2]
    assert (row["caller"], row["hop"], row["parent_span_id"]) == (None, "unknown>generator", (1).to_bytes(8, "big"))


def test_the_caller_in_baggage_needs_no_parent() -> None:
    assert calls_of(spec(2, "generator", SERVER, 1, attributes={"meshslo.caller": "gateway"}))[2]["hop"] == "gateway>generator"


def test_a_server_below_another_services_span_was_called_by_it() -> None:
    calls = calls_of(spec(1, "gateway", SERVER), spec(2, "gateway", INTERNAL, 1), spec(3, "generator", SERVER, 2))
    assert calls[3]["hop"] == "gateway>generator"


@pytest.mark.parametrize(
    ("attributes", "callee"),
    [
        ({"server.address": "retriever.rag.svc.cluster.local"}, "retriever"),
        ({"server.address": "retriever:8080"}, "retriever"),
        ({"server.address": "api.openai.com", "gen_ai.provider.name": "openai"}, "api.openai.com"),
        ({"gen_ai.provider.name": "openai"}, "openai"),
        ({"service.peer.name": "cache"}, "cache"),
        ({}, "unknown"),
    ],
)
def test_a_client_nobody_answered_called_the_peer_it_named(attributes: dict[str, Any], callee: str) -> None:
    assert calls_of(spec(1, "gateway", CLIENT, attributes=attributes))[1]["hop"] == f"gateway>{callee}"


def test_internal_and_messaging_spans_are_counted_not_stored() -> None:
    result = normalized(spec(1, "a", SERVER), spec(2, "a", INTERNAL, 1, name="http send"), spec(3, "a", 4, 1))
    assert result.calls.height == 1
    assert result.left_out == {"internal": 1, "messaging": 1}


def test_both_sides_of_a_zipkin_call_share_a_span_id() -> None:
    specs = (spec(1, "a", SERVER), spec(2, "a", CLIENT, 1), spec(2, "b", SERVER, 1), spec(3, "b", CLIENT, 2))
    calls = normalized(*specs, spec(4, "c", SERVER, 3)).calls
    assert sorted(calls["hop"]) == ["a>b", "a>b", "b>c", "b>c", "ingress>a"]


# Layers of one call -----------------------------------------------------------------------------------------------------


def test_a_gen_ai_span_around_an_http_span_is_one_call() -> None:
    result = normalized(
        spec(1, "gateway", SERVER, duration_s=5),
        spec(
            2,
            "gateway",
            CLIENT,
            1,
            duration_s=4,
            scope="openai",
            attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"},
        ),
        spec(
            3,
            "gateway",
            CLIENT,
            2,
            at_s=0.1,
            duration_s=0.2,
            scope="opentelemetry.instrumentation.httpx",
            attributes={"http.status_code": 200, "server.address": "generator"},
        ),
        spec(4, "generator", SERVER, 3, at_s=0.1, duration_s=3.8),
    )
    client = result.calls.filter(vantage="client").row(0, named=True)
    assert client["span_id"] == (2).to_bytes(8, "big")
    assert (client["duration_s"], client["status_code"], client["model"], client["hop"]) == (4.0, 200, "m", "gateway>generator")
    assert client["first_byte_s"] == pytest.approx(0.3)
    assert result.left_out == {"layer of a call": 1}
    assert result.calls.filter(vantage="server", callee="generator")["parent_span_id"].item() == (2).to_bytes(8, "big")


def test_retries_inside_a_gen_ai_span_are_a_row_each() -> None:
    inner = {"server.address": "api.openai.com"}
    calls = calls_of(
        spec(
            1,
            "gateway",
            CLIENT,
            duration_s=6,
            attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", **inner},
        ),
        spec(2, "gateway", CLIENT, 1, at_s=0, duration_s=1, attributes={**inner, "http.status_code": 503}, failed=True),
        spec(3, "gateway", CLIENT, 1, at_s=2, duration_s=1, attributes={**inner, "http.status_code": 200}),
    )
    assert [(row["attempt"], row["outcome"], row["duration_s"], row["model"]) for _, row in sorted(calls.items())] == [
        (2, "ok", 4.0, "m"),
        (1, "error", 1.0, "m"),
    ]


def test_a_second_call_after_a_good_one_is_no_retry() -> None:
    inner = {"server.address": "api.openai.com", "gen_ai.operation.name": "chat"}
    result = normalized(
        spec(1, "agent", CLIENT, duration_s=6),
        spec(2, "agent", CLIENT, 1, at_s=0, attributes={**inner, "http.status_code": 200}),
        spec(3, "agent", CLIENT, 1, at_s=2, attributes={**inner, "http.status_code": 200}),
    )
    assert result.calls["attempt"].to_list() == [1, 1]
    assert result.left_out == {"frame around calls": 1}


def test_a_span_around_calls_to_several_peers_is_no_call() -> None:
    result = normalized(
        spec(1, "rag", CLIENT, attributes={"gen_ai.operation.name": "retrieval"}, duration_s=3),
        spec(
            2, "rag", CLIENT, 1, duration_s=1, attributes={"gen_ai.operation.name": "embeddings", "server.address": "embedder"}
        ),
        spec(3, "rag", CLIENT, 2, duration_s=1, attributes={"server.address": "embedder", "http.status_code": 200}),
        spec(4, "rag", CLIENT, 1, at_s=1.5, duration_s=1, attributes={"server.address": "qdrant"}),
    )
    assert sorted(result.calls["hop"]) == ["rag>embedder", "rag>qdrant"]
    assert result.left_out == {"frame around calls": 1, "layer of a call": 1}


def test_an_agent_around_model_calls_is_no_call_and_alone_it_is() -> None:
    agent = spec(
        1, "app", CLIENT, attributes={"gen_ai.operation.name": "invoke_agent", "server.address": "agent"}, duration_s=9
    )
    chat = spec(2, "app", CLIENT, 1, attributes={"gen_ai.operation.name": "chat", "server.address": "llm"})
    assert seen(agent) == {1: ("client", "app>agent")}
    assert seen(agent, chat) == {2: ("client", "app>llm")}


def test_in_process_inference_is_a_call_though_internal() -> None:
    llm = {"openinference.span.kind": "LLM", "llm.model_name": "gpt", "llm.system": "openai", "llm.token_count.completion": 7}
    row = calls_of(
        spec(1, "app", SERVER), spec(2, "app", INTERNAL, 1, attributes=llm, events={"First Token Stream Event": 0.25})
    )[2]
    assert (row["hop"], row["operation"], row["model"], row["output_tokens"]) == ("app>openai", "chat", "gpt", 7)
    assert (row["first_token_s"], row["streaming"]) == (0.25, True)


def test_an_inference_servers_span_completes_the_frameworks() -> None:
    result = normalized(
        spec(
            1, "vllm", SERVER, duration_s=3, scope="opentelemetry.instrumentation.asgi", attributes={"http.route": "/v1/chat"}
        ),
        spec(
            2,
            "vllm",
            SERVER,
            1,
            at_s=0.5,
            duration_s=2,
            attributes={"gen_ai.latency.time_to_first_token": 0.2, "gen_ai.request.model": "m"},
        ),
    )
    row = result.calls.row(0, named=True)
    assert result.calls.height == 1
    assert (row["duration_s"], row["route"], row["model"], row["first_token_s"]) == (3.0, "/v1/chat", "m", pytest.approx(0.7))


# Proxies of other placements -----------------------------------------------------------------------------------------------


def test_a_sidecar_of_the_caller_sends_and_does_not_receive() -> None:
    cluster = {"upstream_cluster.name": "outbound|8080||generator.ns.svc.cluster.local"}
    inbound = {"upstream_cluster.name": "inbound|8080||"}
    result = normalized(
        spec(1, "gateway", CLIENT),
        envoy(2, "gateway", SERVER, 1, attributes=cluster),
        envoy(3, "gateway", CLIENT, 2, attributes=cluster),
        envoy(4, "generator", SERVER, 3, attributes=inbound),
        envoy(5, "generator", CLIENT, 4, attributes=inbound),
        spec(6, "generator", SERVER, 5),
    )
    assert sorted(zip(result.calls["vantage"], result.calls["hop"], strict=True)) == [
        (vantage, "gateway>generator") for vantage in ("client", "proxy_in", "proxy_out", "server")
    ]
    assert result.left_out == {"proxy's second view of a call": 2}


def test_a_sidecar_that_could_not_send_is_the_row_itself() -> None:
    attributes = {
        "upstream_cluster.name": "outbound|8080||generator.ns.svc.cluster.local",
        "response_flags": "UH",
        "http.status_code": "503",
    }
    calls = calls_of(spec(1, "gateway", CLIENT, failed=True), envoy(2, "gateway", SERVER, 1, attributes=attributes))
    assert (calls[2]["vantage"], calls[2]["hop"], calls[2]["outcome"]) == ("proxy_out", "gateway>generator", "rejected")


def test_an_edge_proxy_of_its_own_name_is_a_service() -> None:
    edge = {"upstream_cluster.name": "gateway"}
    specs = (
        envoy(1, "edge", SERVER, attributes=edge),
        envoy(2, "edge", CLIENT, 1, attributes=edge),
        spec(3, "gateway", SERVER, 2),
    )
    assert seen(*specs) == {
        1: ("proxy_in", "ingress>edge"),
        2: ("proxy_out", "edge>gateway"),
        3: ("server", "edge>gateway"),
    }


def test_a_proxy_without_a_name_is_named_by_its_cluster() -> None:
    unnamed = {"upstream_cluster.name": "generator"}
    assert seen(envoy(1, "unknown_service:envoy", SERVER, attributes=unnamed)) == {1: ("proxy_in", "ingress>generator")}


def test_linkerds_proxies_are_named_by_the_services_around_them() -> None:
    proxy = {"scope": "", "duration_s": 0.02, "attributes": {"http.status_code": "200", "http.path": "/v1/chat?q=secret"}}
    calls = calls_of(
        spec(1, "gateway", CLIENT, duration_s=3),
        spec(2, "linkerd-proxy", CLIENT, 1, **proxy),
        spec(3, "linkerd-proxy", SERVER, 2, **proxy),
        spec(4, "generator", SERVER, 3, duration_s=3),
    )
    assert [(row["vantage"], row["hop"]) for _, row in sorted(calls.items())] == [
        (vantage, "gateway>generator") for vantage in ("client", "proxy_out", "proxy_in", "server")
    ]
    assert (calls[2]["duration_s"], calls[2]["first_byte_s"], calls[2]["outcome"]) == (None, 0.02, "ok")
    assert "secret" not in str(calls)


# What a row says -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["httpx", "aiohttp_client", "requests"])
def test_a_client_span_that_ends_at_headers_has_no_duration(scope: str) -> None:
    row = calls_of(spec(1, "a", CLIENT, duration_s=0.3, scope=f"opentelemetry.instrumentation.{scope}"))[1]
    assert (row["duration_s"], row["first_byte_s"]) == (None, 0.3)


def test_a_client_blind_after_headers_takes_the_proxys_verdict() -> None:
    calls = calls_of(
        spec(1, "a", CLIENT, duration_s=0.3, scope="opentelemetry.instrumentation.httpx", attributes={"http.status_code": 200}),
        envoy(2, "b", SERVER, 1, attributes={"response_flags": "UT"}),
    )
    assert (calls[1]["outcome"], calls[1]["response_flags"]) == ("timeout", "UT")


@pytest.mark.parametrize(
    ("flag", "outcome"), [("UT", "timeout"), ("SI", "timeout"), ("UMSDR", "timeout"), ("DC", "cancelled"), ("UC", "error")]
)
def test_a_client_that_saw_a_reset_learns_who_cut_it(flag: str, outcome: str) -> None:
    calls = calls_of(
        spec(1, "a", CLIENT, failed=True, attributes={"meshslo.outcome": "error", "error.type": "RemoteProtocolError"}),
        envoy(2, "b", SERVER, 1, attributes={"response_flags": flag}),
        envoy(3, "b", CLIENT, 2, attributes={"canceled": "true"}),
        spec(4, "b", SERVER, 3, attributes={"meshslo.outcome": "cancelled"}),
    )
    assert [calls[number]["outcome"] for number in (1, 2, 4)] == [outcome, outcome, "cancelled"]


def test_a_retried_timeout_is_not_the_clients_outcome() -> None:
    calls = calls_of(
        spec(1, "a", CLIENT, failed=True, attributes={"meshslo.outcome": "error"}),
        envoy(2, "b", SERVER, 1, attributes={"http.status_code": "503"}),
        envoy(3, "b", CLIENT, 2, attributes={"response_flags": "UT"}),
        envoy(4, "b", CLIENT, 2, at_s=0.5, attributes={"retry.count": "1", "http.status_code": "503"}),
    )
    assert [calls[number]["outcome"] for number in (1, 2, 3, 4)] == ["error", "error", "timeout", "error"]


@pytest.mark.parametrize(
    ("attributes", "failed", "outcome"),
    [
        ({"meshslo.outcome": "cancelled", "http.response.status_code": 200}, False, "cancelled"),
        ({"meshslo.outcome": "nonsense", "http.response.status_code": 200}, False, "ok"),
        ({"http.response.status_code": 200}, False, "ok"),
        ({"http.response.status_code": 404, "error.type": "404"}, True, "ok"),
        ({"http.response.status_code": 404}, True, "ok"),
        ({"http.response.status_code": 429, "error.type": "429"}, True, "rejected"),
        ({"http.response.status_code": 200, "error.type": "ReadError"}, True, "error"),
        ({"http.response.status_code": 200, "error.type": "CancelledError"}, True, "cancelled"),
        ({"error.type": "httpx.ReadTimeout"}, True, "timeout"),
        ({"error.type": "httpx.ConnectTimeout"}, True, "rejected"),
        ({"error.type": "ConnectionRefusedError"}, True, "rejected"),
        ({"rpc.grpc.status_code": 4}, True, "timeout"),
        ({"rpc.response.status_code": "DEADLINE_EXCEEDED"}, True, "timeout"),
        ({"rpc.status_code": "OK"}, False, "ok"),
        ({}, True, "error"),
        ({}, False, "ok"),
    ],
)
def test_an_sdk_spans_evidence_decides_its_outcome(attributes: dict[str, Any], failed: bool, outcome: str) -> None:
    assert calls_of(spec(1, "a", CLIENT, attributes=attributes, failed=failed))[1]["outcome"] == outcome


@pytest.mark.parametrize(
    ("trace_state", "weight"),
    [
        ("ot=th:c", 4.0),
        ("ot=th:0", 1.0),
        ("vendor=x,ot=rv:1234;th:8", 2.0),
        ("ot=th:fd70a4", pytest.approx(100, rel=1e-4)),
        ("", None),
        ("ot=p:8", None),
        ("ot=th:zz", None),
    ],
)
def test_the_weight_is_the_inverse_sampling_probability(trace_state: str, weight: float | None) -> None:
    assert calls_of(spec(1, "a", SERVER, trace_state=trace_state))[1]["weight"] == weight


@pytest.mark.parametrize(
    ("attributes", "streaming"),
    [
        ({"gen_ai.request.stream": True}, True),
        ({"stream": "false"}, False),
        ({"meshslo.stream.max_gap_s": 0.1}, True),
        ({"http.response.header.content-type": "text/event-stream; charset=utf-8"}, True),
        ({"ai.response.msToFirstChunk": 426.0}, True),
        ({}, None),
    ],
)
def test_streaming_is_stated_shown_or_unknown(attributes: dict[str, Any], streaming: bool | None) -> None:
    assert calls_of(spec(1, "a", SERVER, attributes=attributes))[1]["streaming"] is streaming


def test_stream_columns_come_in_seconds() -> None:
    seconds = {"first_byte_s": 0.0625, "stream.first_token_s": 0.5, "stream.max_gap_s": 0.25, "stream.open_gap_s": 0.125}
    counts = {"meshslo.stream.chunks": 12, "gen_ai.usage.output_tokens": 40, "meshslo.attempt": 2}
    attributes = {**{f"meshslo.{name}": value for name, value in seconds.items()}, **counts}
    row = calls_of(spec(1, "a", CLIENT, attributes=attributes))[1]
    assert (row["first_token_s"], row["max_gap_s"], row["open_gap_s"], row["first_byte_s"]) == (0.5, 0.25, 0.125, 0.0625)
    assert (row["chunks"], row["output_tokens"], row["attempt"], row["duration_s"]) == (12, 40, 2, 1.0)


def test_milliseconds_of_the_vercel_sdk_become_seconds() -> None:
    attributes = {"ai.operationId": "ai.streamText.doStream", "ai.response.msToFirstChunk": 426.8535, "gen_ai.system": "openai"}
    row = calls_of(spec(1, "a", INTERNAL, attributes=attributes))[1]
    assert row["first_token_s"] == pytest.approx(0.4268535)
    assert (row["operation"], row["hop"]) == ("chat", "a>openai")


@pytest.mark.parametrize("value", ["-1", "NaN", "inf", "many", "1e300", ""])
def test_a_number_that_is_none_is_null(value: str) -> None:
    names = (
        "meshslo.stream.max_gap_s",
        "meshslo.stream.chunks",
        "http.status_code",
        "meshslo.attempt",
        "meshslo.stream.first_token_s",
    )
    row = calls_of(spec(1, "a", SERVER, attributes=dict.fromkeys(names, value)))[1]
    assert (row["max_gap_s"], row["chunks"], row["status_code"], row["attempt"], row["first_token_s"]) == (
        None,
        None,
        None,
        1,
        None,
    )


@pytest.mark.parametrize(
    ("attributes", "route"),
    [
        ({"http.route": "/v1/chat"}, "/v1/chat"),
        ({"http.route": "/find?q=secret"}, None),
        ({"rpc.service": "pkg.Embedder", "rpc.method": "Embed"}, "pkg.Embedder/Embed"),
        ({"rpc.method": "pkg.Embedder/Embed"}, "pkg.Embedder/Embed"),
        ({"http.target": "/users/7", "url.path": "/users/7"}, None),
    ],
)
def test_a_route_is_a_template_and_never_a_raw_path(attributes: dict[str, Any], route: str | None) -> None:
    assert calls_of(spec(1, "a", SERVER, attributes=attributes))[1]["route"] == route


def test_identities_tell_mutual_tls() -> None:
    identity = {"source.principal": "spiffe://cluster.local/ns/a/sa/a"}
    assert calls_of(envoy(1, "b", SERVER, attributes=identity))[1]["mtls"] is True
    assert calls_of(envoy(1, "b", SERVER))[1]["mtls"] is None
    assert calls_of(envoy(1, "b", SERVER, attributes={"connection_security_policy": "none"}))[1]["mtls"] is False


def test_spans_in_a_circle_end() -> None:
    assert set(calls_of(spec(1, "a", CLIENT, 2), spec(2, "b", SERVER, 1))) == {1, 2}


def test_no_spans_are_no_calls() -> None:
    assert normalized().calls.is_empty()
