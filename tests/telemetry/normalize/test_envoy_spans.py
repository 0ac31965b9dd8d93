"""Spans that a real Envoy 1.40 exported: who cut a call decides its outcome, not the 200 that it began with."""

import pytest

from tests.telemetry.normalize.otlp import ENVOY, recorded

SCENARIOS = sorted(path.stem for path in ENVOY.glob("*.jsonl"))
CUT = [name for name in SCENARIOS if "timeout_" in name or "idle" in name or "max_duration" in name or "client_left" in name]

# How the request ended, and each attempt in order, as recorded (see the fixtures' README).
ENDINGS = {
    "plain_ok": ("ok", ["ok"]),
    "streamed_ok": ("ok", ["ok"]),
    "headers_then_think_ok": ("ok", ["ok"]),
    "timeout_mid_stream_UT": ("timeout", ["timeout"]),
    "timeout_before_headers_UT": ("timeout", ["timeout"]),
    "idle_mid_stream_SI": ("timeout", ["timeout"]),
    "idle_before_headers_SI": ("timeout", ["timeout"]),
    "cluster_max_duration_mid_stream_UMSDR": ("timeout", ["timeout"]),
    "cluster_max_duration_before_headers_UMSDR": ("timeout", ["timeout"]),
    "route_max_duration_mid_stream": ("timeout", ["timeout"]),
    "route_max_duration_before_headers": ("timeout", ["timeout"]),
    "listener_max_duration_mid_stream": ("timeout", ["timeout"]),
    "listener_max_duration_before_headers": ("timeout", ["timeout"]),
    "client_left_mid_stream_DC": ("cancelled", ["cancelled"]),
    "client_left_before_headers_DC": ("cancelled", ["cancelled"]),
    "callee_reset_mid_stream_UPE": ("error", ["error"]),
    "callee_reset_before_headers_UC": ("error", ["error"]),
    "callee_error_500": ("error", ["error"]),
    "callee_overloaded_429": ("rejected", ["rejected"]),
    "retry_503_then_ok": ("ok", ["error", "ok"]),
    "retry_reset_then_stream_ok": ("ok", ["error", "ok"]),
    "retries_exhausted_URX": ("error", ["error", "error", "error"]),
    "per_try_timeout_then_ok": ("ok", ["timeout", "ok"]),
    "per_try_timeout_exhausted_URX_UT": ("timeout", ["timeout", "timeout"]),
    "connect_failure_UF": ("rejected", ["rejected"]),
    "no_healthy_upstream_UH": ("rejected", []),
}


@pytest.mark.parametrize("name", sorted(ENDINGS))
def test_a_request_and_its_attempts_end_as_they_truly_did(name: str) -> None:
    calls = recorded(name).calls
    request = calls.filter(vantage="proxy_in")
    attempts = calls.filter(vantage="proxy_out").sort("attempt")
    assert (request["outcome"].to_list(), attempts["outcome"].to_list()) == ([ENDINGS[name][0]], ENDINGS[name][1])
    assert attempts["attempt"].to_list() == list(range(1, attempts.height + 1))


def test_every_recorded_scenario_of_one_proxy_is_judged() -> None:
    assert {name for name in SCENARIOS if not name.startswith("two_proxies")} == set(ENDINGS)


@pytest.mark.parametrize("name", [name for name in CUT if "then_ok" not in name])
def test_no_vantage_calls_a_cut_stream_ok(name: str) -> None:
    assert "ok" not in recorded(name).calls["outcome"].to_list()


def test_a_cut_attempt_names_the_flag_of_its_request() -> None:
    calls = recorded("timeout_mid_stream_UT").calls
    assert calls["response_flags"].to_list() == ["UT", "UT"]
    assert calls["status_code"].to_list() == [200, 200]


def test_first_byte_is_the_headers_and_total_the_whole_body() -> None:
    request = recorded("headers_then_think_ok").calls.filter(vantage="proxy_in").row(0, named=True)
    assert request["first_byte_s"] < 0.1
    assert request["duration_s"] > 1.0
    assert request["first_token_s"] is None


def test_proxies_tell_tenant_and_model_from_custom_tags() -> None:
    calls = recorded("streamed_ok").calls
    assert calls["tenant"].unique().to_list() == ["acme"]
    assert calls["model"].unique().to_list() == ["small"]


def test_an_attempt_takes_method_and_node_from_its_request() -> None:
    attempt = recorded("plain_ok").calls.filter(vantage="proxy_out").row(0, named=True)
    assert (attempt["method"], attempt["pod"], attempt["zone"]) == ("POST", "generator-0", "zone-a")


def test_no_url_gets_into_a_row() -> None:
    text = str(recorded("plain_ok").calls.to_dicts())
    assert "/v1/chat/completions" not in text
    assert "http://" not in text


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name.startswith("two_proxies")])
def test_two_proxies_give_one_row_a_vantage(name: str) -> None:
    result = recorded(name)
    assert set(result.calls["hop"]) == {"gateway>generator"}
    attempts = result.calls.filter(vantage="proxy_out").height
    assert result.calls.filter(vantage="proxy_in").height == attempts
    assert result.left_out["proxy's second view of a call"] == 1 + attempts


def test_the_outer_proxy_learns_who_cut_the_stream() -> None:
    outer = recorded("two_proxies_timeout_mid_stream_UT").calls.filter(vantage="proxy_out").row(0, named=True)
    assert (outer["outcome"], outer["response_flags"], outer["status_code"]) == ("timeout", "UT", 200)
