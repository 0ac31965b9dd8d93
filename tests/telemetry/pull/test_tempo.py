"""Tempo behind a loopback server that answers with a recorded search and a recorded Istio trace."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import polars as pl
import pytest

from meshslo.telemetry.errors import SourceError
from meshslo.telemetry.normalize import traces_json_to_protobuf
from meshslo.telemetry.pull import Ask, Batch
from meshslo.telemetry.pull.http import PROTOBUF, Limits, Server
from meshslo.telemetry.pull.tempo import PULLER, Settings
from tests.support.answers import Answering, Question, Reply, answering, reply_json
from tests.support.shared import shared

QUICK = Limits(timeout_s=5.0, tries=2, backoff_s=0.01)
SINCE = datetime(2023, 12, 5, 12, 37, 50, tzinfo=UTC)
UNTIL = SINCE + timedelta(seconds=20)


@cache
def recorded(name: str) -> str:
    return shared("data", "otlp", name).read_text()


def trace_of(trace_id: str, begin: datetime) -> dict[str, Any]:
    """The recorded bookinfo trace under another id and begin, in Tempo's JSON (`batches`, base64 ids, enum names)."""
    text = recorded("kiali_tempo_bookinfo_trace.json")
    document = json.loads(
        text.replace("O6VWCcPN5JZJzXfR+dzZNg==", base64.b64encode(bytes.fromhex(trace_id.rjust(32, "0"))).decode())
    )
    shift_ns = int(begin.timestamp()) * 10**9 - 1_701_779_876 * 10**9
    for span in (span for batch in document["batches"] for scope in batch["scopeSpans"] for span in scope["spans"]):
        for moment in ("startTimeUnixNano", "endTimeUnixNano"):
            span[moment] = str(int(span[moment]) + shift_ns)
    return document


def tempo(traces: dict[str, datetime], *, v2: bool = True, status: str | None = None) -> Callable[[Question], Reply]:
    """A Tempo that holds a trace for each id and begin in `traces`; its search leaves out leading zeros, as the real one."""
    template = json.loads(recorded("kiali_tempo_search_response.json"))

    def answer(question: Question) -> Reply:
        if question.path == "/api/search":
            start, end = int(question.one("start")), int(question.one("end"))
            found = [(key, begin) for key, begin in traces.items() if start <= begin.timestamp() < end]
            listed = [
                template["traces"][0]
                | {"traceID": key.lstrip("0"), "startTimeUnixNano": str(int(begin.timestamp()) * 10**9), "durationMs": 12}
                for key, begin in found[: int(question.one("limit"))]
            ]
            return reply_json({"traces": listed, "metrics": template["metrics"]})
        *_, version, trace_id = question.path.rsplit("/", 2)
        document = trace_of(trace_id, traces[trace_id]) if trace_id in traces else None
        if document is None or (not v2 and question.path.startswith("/api/v2")):
            return Reply(b"trace not found", 404, "text/plain")
        if question.headers["accept"] == PROTOBUF:
            return Reply(traces_json_to_protobuf(json.dumps(document)), content_type=PROTOBUF)
        if version == "traces" and question.path.startswith("/api/v2"):
            partial = {"status": status, "message": "trace exceeds max size"} if status else {}
            return reply_json({"trace": {"resourceSpans": document["batches"]}, "metrics": {}, **partial})
        return reply_json(document)

    return answer


def pull(running: Answering, settings: Settings | None = None, since: datetime = SINCE, until: datetime = UNTIL) -> list[Batch]:
    return list(PULLER.read(Ask(Server(running.url, limits=QUICK), since, until, settings or Settings())))


def calls(batches: list[Batch]) -> pl.DataFrame:
    return pl.concat([batch.calls for batch in batches if batch.calls is not None])


ONE = {"00000000000000000000000000000abc": SINCE + timedelta(seconds=6)}


@pytest.mark.parametrize("v2", [True, False], ids=["API v2, JSON", "the older API, protobuf"])
def test_the_recorded_calls_of_an_istio_mesh(v2: bool) -> None:
    with answering(tempo(ONE, v2=v2)) as running:
        got = calls(pull(running))
    # Kind, cluster and duration of each of the 8 spans, read off the file by eye.
    entry = got.filter(pl.col("hop") == "istio-ingressgateway>productpage").sort("vantage", descending=True)
    assert entry["vantage"].to_list() == ["proxy_out", "proxy_in"]
    assert entry["duration_s"].to_list() == pytest.approx([0.011932, 0.011439])
    assert set(got["hop"]) == {
        "istio-ingressgateway>productpage",
        "productpage>reviews",
        "productpage>details",
        "reviews>ratings",
    }
    assert got.height == 8
    assert set(got["trace_id"]) == {bytes.fromhex("abc".rjust(32, "0"))}


def many(count: int, step_s: float) -> dict[str, datetime]:
    return {f"{number:032x}": SINCE + timedelta(seconds=number * step_s) for number in range(1, count + 1)}


def test_a_full_answer_is_asked_again_in_halves_until_nothing_is_left_out() -> None:
    with answering(tempo(many(15, 1))) as running:
        whole, narrow = (pull(running, Settings(limit=limit)) for limit in (100, 4))
    order = ("trace_id", "span_id", "vantage")
    assert calls(whole)["trace_id"].n_unique() == 15
    assert calls(narrow).sort(order).equals(calls(whole).sort(order))
    assert not any("raise --limit" in note for batch in narrow for note in batch.notes)


def test_more_traces_in_a_second_than_the_limit_are_told_of() -> None:
    with answering(tempo(many(6, 0.1))) as running:
        (batch,) = pull(running, Settings(limit=4), SINCE, SINCE + timedelta(seconds=2))
    assert any("4 traces or more began between" in note and "raise --limit" in note for note in batch.notes)


def test_a_partial_trace_is_told_of() -> None:
    with answering(tempo(many(2, 1), status="PARTIAL")) as running:
        (batch,) = pull(running)
    assert "a trace came back partial (trace exceeds max size): spans are missing (2 times)" in batch.notes


def test_a_trace_that_went_away_is_told_of() -> None:
    listed = tempo(ONE)
    with answering(lambda asked: listed(asked) if asked.path == "/api/search" else Reply(status=404)) as running:
        (batch,) = pull(running)
    assert "a trace that the search had listed was not there when asked for" in batch.notes


def test_an_unfinished_search_is_told_of() -> None:
    reply = reply_json({"traces": [], "metrics": {"completedJobs": 3, "totalJobs": 7}})
    with answering(lambda _: reply) as running:
        (batch,) = pull(running)
    assert "a search looked at 3 of 7 parts of its window only: traces are missing" in batch.notes


def test_the_search_is_said_to_be_no_sample() -> None:
    with answering(tempo({})) as running:
        (batch,) = pull(running)
    assert "Tempo's search returns the first traces it finds" in batch.notes[0]
    assert batch.calls is not None
    assert batch.calls.is_empty()


def test_the_query_and_a_window_around_the_trace_are_sent() -> None:
    with answering(tempo(ONE)) as running:
        pull(running, Settings(query='{ resource.service.name = "a" }'))
    search, fetch = running.asked
    assert search.one("q") == '{ resource.service.name = "a" }'
    assert int(fetch.one("start")) < ONE[next(iter(ONE))].timestamp() < int(fetch.one("end"))


@pytest.mark.parametrize(
    ("search", "trace", "sentence"),
    [
        (reply_json({"status": "success"}), None, "JSON that lists no traces; is this a Tempo"),
        (reply_json([]), None, "JSON that lists no traces; is this a Tempo"),
        (reply_json({"traces": [{"id": 1}]}), None, "lists traces without traceID"),
        (Reply(b"<html>", content_type="text/html"), None, "answered with a web page"),
        (Reply(b"invalid TraceQL query", 400, "text/plain"), None, r"answered 400 \(invalid TraceQL query\)"),
        (reply_json({"traces": [{"traceID": "abc"}]}), reply_json({"oops": 1}), "JSON that holds no traces"),
        (reply_json({"traces": [{"traceID": "abc"}]}), Reply(b'{"trace": {"resourceSp'), "no complete JSON"),
        (reply_json({"traces": [{"traceID": "abc"}]}), Reply(b"\xff\xff", content_type=PROTOBUF), "2 bytes are no OTLP trace"),
    ],
)
def test_a_server_that_is_no_tempo(search: Reply, trace: Reply | None, sentence: str) -> None:
    def answer(asked: Question) -> Reply:
        return search if asked.path == "/api/search" else trace or Reply(status=500)

    with answering(answer) as running, pytest.raises(SourceError, match=sentence) as caught:
        pull(running)
    assert running.url in str(caught.value)
