"""Jaeger's two APIs behind a loopback server that answers with recorded traces."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import polars as pl
import pytest

from meshslo.telemetry.errors import BadInputError, SourceError
from meshslo.telemetry.normalize import decode_traces_json
from meshslo.telemetry.normalize.jaeger import otlp_of_jaeger
from meshslo.telemetry.pull import Ask, Batch
from meshslo.telemetry.pull.http import Limits, Server
from meshslo.telemetry.pull.jaeger import PULLER, Settings
from tests.support.answers import Answering, Question, Reply, answering, reply_json
from tests.support.shared import shared

pytestmark = pytest.mark.slow

QUICK = Limits(timeout_s=5.0, tries=2, backoff_s=0.01)
RECORDED = ("data", "jaeger", "deathstarbench_socialnetwork_jaeger.json.gz")
NOT_FOUND = reply_json({"error": {"httpCode": 404, "message": "No traces found"}}, 404)
SINCE = datetime(2023, 9, 28, 23, 30, 50, tzinfo=UTC)
UNTIL = datetime(2023, 9, 28, 23, 31, 10, tzinfo=UTC)


@cache
def recorded() -> list[dict[str, Any]]:
    """The 20 traces that Jaeger's user interface exported from DeathStarBench's social network."""
    return json.loads(gzip.decompress(shared(*RECORDED).read_bytes()))["data"]


def few() -> list[dict[str, Any]]:
    """Six of them, for what does not hang on the number."""
    return recorded()[:6]


def began(trace: dict[str, Any]) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=min(span["startTime"] for span in trace["spans"]))


def pull(running: Answering, settings: Settings | None = None, since: datetime = SINCE, until: datetime = UNTIL) -> list[Batch]:
    return list(PULLER.read(Ask(Server(running.url, limits=QUICK), since, until, settings or Settings())))


def calls(batches: list[Batch]) -> pl.DataFrame:
    return pl.concat([batch.calls for batch in batches if batch.calls is not None])


def v3(traces: list[dict[str, Any]]) -> Callable[[Question], Reply]:
    """A server of API v3 that holds `traces`; like the real one it gives the newest first and one blob for all."""
    services = {trace["traceID"]: {process["serviceName"] for process in trace["processes"].values()} for trace in traces}
    newest = sorted(traces, key=began, reverse=True)

    def answer(question: Question) -> Reply:
        if question.path == "/api/v3/services":
            return reply_json({"services": sorted(set.union(*services.values()))})
        since, until = (datetime.fromisoformat(question.one(f"query.startTime{end}")) for end in ("Min", "Max"))
        service = question.one("query.serviceName")
        there = [trace for trace in newest if since <= began(trace) <= until and service in services[trace["traceID"]]]
        document = otlp_of_jaeger({"data": there[: int(question.one("query.searchDepth"))]})
        return reply_json({"result": document}) if there else NOT_FOUND

    return answer


def legacy(traces: list[dict[str, Any]]) -> Callable[[Question], Reply]:
    """A server before API v3, whose user interface's page answers to paths it does not know."""

    def answer(question: Question) -> Reply:
        if question.path == "/api/services":
            return reply_json({"data": ["compose-post-service"], "errors": None})
        if question.path != "/api/traces":
            return Reply(b"<!doctype html><title>Jaeger UI", content_type="text/html")
        start, end = int(question.one("start")), int(question.one("end"))
        there = [trace for trace in traces if start <= min(span["startTime"] for span in trace["spans"]) <= end]
        return reply_json({"data": there[: int(question.one("limit"))], "errors": None})

    return answer


@pytest.fixture(scope="module")
def got() -> pl.DataFrame:
    """The calls that a pull of the few brings."""
    with answering(v3(few())) as running:
        return calls(pull(running))


def test_the_recorded_calls_of_the_social_network(got: pl.DataFrame) -> None:
    # Counted in the file: each trace is a post, enters through nginx, and calls post-storage once from compose-post.
    entry = got.filter(pl.col("hop") == "ingress>nginx-web-server")
    assert entry.height == 6
    stored = got.filter(hop="compose-post-service>post-storage-service")
    assert stored.group_by("vantage").len().sort("vantage").rows() == [("client", 6), ("server", 6)]
    slowest_us = max(s["duration"] for t in few() for s in t["spans"] if not s["references"])
    assert entry["duration_s"].max() == pytest.approx(slowest_us / 1e6)


def test_both_apis_give_equal_calls(got: pl.DataFrame) -> None:
    with answering(legacy(few())) as old:
        order = ("trace_id", "span_id", "vantage")
        assert got.sort(order).equals(calls(pull(old)).sort(order))
    assert {question.path for question in old.asked} == {"/api/v3/services", "/api/services", "/api/traces"}


def test_a_full_answer_is_asked_again_in_halves_until_nothing_is_left_out() -> None:
    with answering(v3(recorded())) as running:
        whole, narrow = (pull(running, Settings(("compose-post-service",), limit)) for limit in (500, 6))
    order = ("trace_id", "span_id", "vantage")
    assert calls(narrow).sort(order).equals(calls(whole).sort(order))
    assert not any("random sample; raise --limit" in note for batch in narrow for note in batch.notes)


def test_more_traces_in_a_moment_than_the_limit_are_told_of() -> None:
    trace = recorded()[0]
    same_moment = [json.loads(json.dumps(trace).replace(trace["traceID"], f"{number:016x}")) for number in range(1, 6)]
    since = began(trace) - timedelta(milliseconds=5)
    with answering(v3(same_moment)) as running:
        (batch,) = pull(running, Settings(limit=5, service=("nginx-web-server",)), since, since + timedelta(milliseconds=10))
    assert any("5 traces or more began between" in note and "raise --limit" in note for note in batch.notes)


def test_searches_are_said_to_be_no_sample() -> None:
    with answering(v3(few())) as running:
        first, *rest = pull(running, Settings(slice_s=5))
    assert "Jaeger's search returns whole traces, newest first" in first.notes[0]
    assert not any(batch.notes for batch in rest)


def test_pulling_twice_gives_equal_rows(got: pl.DataFrame) -> None:
    with answering(v3(few())) as running:
        assert got.equals(calls(pull(running)))


def test_only_the_services_asked_for() -> None:
    with answering(v3(few())) as running:
        pull(running, Settings(service=("user-service",)))
    assert {question.one("query.serviceName") for question in running.asked if question.query} == {"user-service"}


def test_a_window_without_traces() -> None:
    with answering(v3(few())) as running:
        batches = pull(running, since=UNTIL, until=UNTIL + timedelta(minutes=20))
    assert [batch.calls.height for batch in batches if batch.calls is not None] == [0] * 2


def test_probabilistic_sampling_gives_weights(got: pl.DataFrame) -> None:
    assert got["weight"].unique().to_list() == [pytest.approx(5.0)]  # sampler.param is 0.2


def test_an_empty_jaeger() -> None:
    with answering(lambda _: reply_json({})) as running:
        assert [batch.calls.height for batch in pull(running) if batch.calls is not None] == [0]


@pytest.mark.parametrize(
    ("services", "search", "sentence"),
    [
        (reply_json({"services": ["a"]}), reply_json({"error": {"message": "storage is down"}}), "an error: storage is down"),
        (reply_json({"services": ["a"]}), reply_json({"traces": []}), "JSON that holds no traces: not OTLP/JSON traces"),
        (reply_json({"services": ["a"]}), reply_json({"code": 5}, 404), "answered 404 .*is this the API's base address"),
        (reply_json({"status": "success"}), None, "lists no services; is this a Jaeger query service"),
        (reply_json(["a"]), None, "lists no services; is this a Jaeger query service"),
        (Reply(b"<html>", content_type="text/html"), Reply(b"<html>", content_type="text/html"), "answered with a web page"),
        (Reply(status=404), reply_json({"names": []}), "lists no services; is this a Jaeger"),
        (Reply(status=401), None, "answered 401; pass credentials"),
    ],
)
def test_a_server_that_is_no_jaeger(services: Reply, search: Reply | None, sentence: str) -> None:
    def answer(question: Question) -> Reply:
        return services if question.path == "/api/v3/services" else search or Reply(status=500)

    with answering(answer) as running, pytest.raises(SourceError, match=sentence) as caught:
        pull(running)
    assert running.url in str(caught.value)


def test_leading_zeros_of_ids_come_back() -> None:
    span = {"traceID": "ab", "spanID": "1", "references": [], "startTime": 1_000_000, "duration": 5, "processID": "p"}
    document = {"data": [{"traceID": "ab", "spans": [span], "processes": {"p": {"serviceName": "s"}}}]}
    spans = decode_traces_json(json.dumps(otlp_of_jaeger(document))).spans
    assert spans.select("trace_id", "span_id", "kind", "service").rows() == [
        (b"\xab".rjust(16, b"\0"), b"\1".rjust(8, b"\0"), 2, "s")
    ]


def test_tags_become_attributes_and_logs_events() -> None:
    tags = [
        {"key": "span.kind", "type": "string", "value": "client"},
        {"key": "http.status_code", "type": "int64", "value": 503},
        {"key": "error", "type": "bool", "value": True},
        {"key": "otel.scope.name", "type": "string", "value": "lib"},
        {"key": "blob", "type": "binary", "value": "AA=="},
    ]
    logs = [
        {"timestamp": 1_000_002, "fields": [{"key": "event", "type": "string", "value": "first_upstream_rx_byte_received"}]}
    ]
    follows = {"refType": "FOLLOWS_FROM", "traceID": "a", "spanID": "7"}
    child = {"refType": "CHILD_OF", "traceID": "a", "spanID": "8"}
    span = {"traceID": "a", "spanID": "9", "references": [follows, child], "startTime": 1_000_000, "duration": 5}
    process = {"serviceName": "s", "tags": [{"key": "k8s.pod.name", "type": "string", "value": "s-1"}]}
    (row,) = decode_traces_json(
        json.dumps(otlp_of_jaeger({"spans": [span | {"tags": tags, "logs": logs, "process": process}], "traceID": "a"}))
    ).spans.to_dicts()
    expected = {"kind": 3, "status": 2, "status_code": "503", "scope": "lib", "headers_ns": 1_000_002_000, "pod": "s-1"}
    assert {name: row[name] for name in expected} == expected
    assert row["parent_span_id"] == b"\x08".rjust(8, b"\0")


@pytest.mark.parametrize("document", [[], {"data": None}, {"data": [{"traceID": "a"}]}, 3, {"data": [{"spans": [{}]}]}])
def test_what_is_no_jaeger_json(document: object) -> None:
    if document == []:
        assert otlp_of_jaeger(document) == {"resourceSpans": []}
        return
    with pytest.raises(BadInputError, match="no Jaeger JSON"):
        otlp_of_jaeger(document)
