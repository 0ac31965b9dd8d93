"""Profiles: every built-in one is usable, labels become words, and a user's own is checked where it is written."""

from pathlib import Path
from typing import Any

import pytest

from meshslo.analysis.config import parse_config
from meshslo.telemetry.errors import BadConfigError
from meshslo.telemetry.prometheus.labels import words_of
from meshslo.telemetry.prometheus.profile import Metric, Profile, parse_profile
from meshslo.telemetry.prometheus.profiles import chosen
from meshslo.telemetry.pull.prometheus import own_profiles

BUILT_IN = chosen([])
METRICS = [(profile, metric) for profile in BUILT_IN for metric in (*profile.histograms, *profile.counters)]


def words(profile: str, metric: str, **labels: str) -> dict[str, Any]:
    """The words of a series of a built-in profile's metric, without those that say nothing."""
    (one,) = chosen([profile])
    found = next(known for known in (*one.histograms, *one.counters) if metric in known.names)
    return {name: value for name, value in words_of([labels], one, found).row(0, named=True).items() if value is not None}


def test_the_producers_that_meshslo_knows() -> None:
    names = {profile.name for profile in BUILT_IN}
    assert names >= {"istio", "linkerd", "envoy", "vllm", "genai", "litellm", "envoy_ai_gateway"}


@pytest.mark.parametrize(
    ("profile", "metric"), METRICS, ids=lambda value: value.name if isinstance(value, Profile) else value.metric
)
def test_a_series_without_labels_breaks_nothing(profile: Profile, metric: Metric) -> None:
    assert words_of([{}], profile, metric)["hop"].str.contains(">").all()


@pytest.mark.parametrize("profile", BUILT_IN, ids=lambda profile: profile.name)
def test_edges_ascend(profile: Profile) -> None:
    for histogram in profile.histograms:
        assert histogram.edges, histogram.metric
        assert list(histogram.edges) == sorted(set(histogram.edges)), histogram.metric


ISTIO = {
    "reporter": "destination",
    "source_canonical_service": "gateway",
    "destination_canonical_service": "generator",
    "destination_workload_namespace": "ai",
    "source_principal": "spiffe://cluster.local/ns/ai/sa/gateway",
    "connection_security_policy": "mutual_tls",
    "request_protocol": "http",
    "response_code": "200",
    "response_flags": "-",
}


def test_istios_labels() -> None:
    assert words("istio", "istio_request_duration_milliseconds", **ISTIO) == {
        "reporter": "destination",
        "caller": "gateway",
        "callee": "generator",
        "hop": "gateway>generator",
        "namespace": "ai",
        "caller_identity": "spiffe://cluster.local/ns/ai/sa/gateway",
        "mtls": True,
        "protocol": "http",
        "status_code": 200,
        "outcome": "ok",
    }


@pytest.mark.parametrize(
    ("code", "flags", "outcome"),
    [
        ("200", "-", "ok"),
        ("404", "-", "ok"),
        ("503", "-", "error"),
        ("200", "UT", "timeout"),
        ("200", "DC", "cancelled"),
        ("0", "DC", "cancelled"),
        ("0", "-", "error"),
        ("503", "UO", "rejected"),
        ("503", "URX,UF", "rejected"),
        ("504", "UT", "timeout"),
        ("429", "-", "rejected"),
    ],
)
def test_istios_flags_beat_the_status(code: str, flags: str, outcome: str) -> None:
    labels = {**ISTIO, "response_code": code, "response_flags": flags}
    assert words("istio", "istio_request_duration_milliseconds", **labels)["outcome"] == outcome


def test_what_istio_does_not_know_is_absent() -> None:
    labels = {
        **ISTIO,
        "source_canonical_service": "unknown",
        "source_principal": "unknown",
        "connection_security_policy": "unknown",
    }
    told = words("istio", "istio_request_duration_milliseconds", **labels)
    assert told["hop"] == "unknown>generator"
    assert not {"caller", "caller_identity", "mtls"} & set(told)


@pytest.mark.parametrize(
    ("cluster", "callee"),
    [
        ("generator", "generator"),
        ("outbound|80|v1|reviews.default.svc.cluster.local", "reviews"),
        ("outbound|443||api.openai.com", "api.openai.com"),
        ("models.internal", "models.internal"),
    ],
)
def test_envoys_cluster_names_the_callee(cluster: str, callee: str) -> None:
    told = words("envoy", "envoy_cluster_upstream_rq_time", envoy_cluster_name=cluster, app="gateway")
    assert told["hop"] == f"gateway>{callee}"


@pytest.mark.parametrize(
    ("profile", "metric", "labels", "outcome"),
    [
        ("envoy", "envoy_cluster_upstream_rq", {"envoy_response_code": "504"}, "timeout"),
        ("envoy", "envoy_http_downstream_rq_xx", {"envoy_response_code_class": "5"}, "error"),
        ("envoy", "envoy_http_downstream_rq_xx", {"envoy_response_code_class": "2"}, "ok"),
        ("envoy", "envoy_cluster_upstream_rq_time", {}, None),
        ("linkerd", "response_total", {"status_code": "200", "classification": "success"}, "ok"),
        ("linkerd", "response_total", {"error": "RESPONSE_STREAM_TIMEOUT", "status_code": "200"}, "timeout"),
        ("linkerd", "response_latency_ms", {"status_code": "200"}, None),
        ("vllm", "vllm:request_success_total", {"finished_reason": "length"}, "ok"),
        ("vllm", "vllm:request_success_total", {"finished_reason": "abort"}, "cancelled"),
        ("genai", "gen_ai_client_operation_duration_seconds", {}, "ok"),
        ("genai", "gen_ai_client_operation_duration_seconds", {"error_type": "APITimeoutError"}, "timeout"),
        ("genai", "gen_ai_client_operation_duration_seconds", {"error_type": "ValueError"}, "error"),
        ("litellm", "litellm_proxy_total_requests_metric_total", {"status_code": "429"}, "rejected"),
    ],
)
def test_outcomes(profile: str, metric: str, labels: dict[str, str], outcome: str | None) -> None:
    assert words(profile, metric, **labels).get("outcome") == outcome


def test_tenants_come_from_gateways() -> None:
    told = words("litellm", "litellm_llm_api_latency_metric", team_alias="blue", requested_model="m", api_provider="openai")
    assert (told["tenant"], told["model"], told["hop"]) == ("blue", "m", "litellm>openai")


OWN = """
[profiles.billing]
labels.caller = ["client"]
labels.callee = [{label = "target", pattern = "^([^:]+)"}]
outcomes = {status = "code"}
histograms = [{metric = "rpc_time_us", unit = "us", phase = "total"}]
"""


def test_a_profile_of_ones_own_from_the_config(tmp_path: Path) -> None:
    path = tmp_path / "meshslo.toml"
    path.write_text(OWN)
    (own,) = own_profiles(str(path))
    (histogram,) = own.histograms
    told = words_of([{"client": "a", "target": "b:80", "code": "503"}], own, histogram).row(0, named=True)
    assert (told["hop"], told["outcome"]) == ("a>b", "error")
    assert chosen(["billing"], [own]) == [own]
    assert set(parse_config(OWN).profiles) == {"billing"}, "the other commands read the same file"


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"histogram": []}, "profiles.mine.histogram: Extra inputs are not permitted"),
        ({}, "a profile needs a histogram or a counter"),
        ({"histograms": [{"metric": "x", "unit": "ns", "phase": "total"}]}, "profiles.mine.histograms.0.unit: Input should be"),
        (
            {"histograms": [{"metric": "x", "unit": "s", "phase": "total"}]},
            "x has no callee: name its label with labels.callee",
        ),
        (
            {"labels": {"callee": [{"label": "a", "pattern": "b"}]}, "counters": [{"metric": "x"}]},
            "pattern 'b' of label a has no group",
        ),
    ],
)
def test_a_mistake_is_named_where_it_is(table: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadConfigError, match=sentence):
        parse_profile("mine", table, where="meshslo.toml")


def test_a_mistake_in_a_profile_is_one_of_the_config(tmp_path: Path) -> None:
    with pytest.raises(BadConfigError, match=r"profiles.billing.histograms.0.unit: Input should be"):
        parse_config(OWN.replace('"us"', '"ns"'))
