"""Every way a Jaeger or a Tempo can fail: one sentence that names it, exit 2, and the store as it was or as far as it came."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import MeshsloError
from meshslo.telemetry.pull.http import RETRIED
from meshslo.telemetry.store import open_store
from tests.support.answers import Question, Reply, answering, reply_json
from tests.support.net import free_port

SINCE, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 20, tzinfo=UTC)
MIDDLE_S = (SINCE.timestamp() + UNTIL.timestamp()) / 2

Server = Callable[[Question], Reply]


def jaeger(question: Question) -> Reply:
    """A Jaeger with one call at the begin of whatever window it is asked for."""
    if question.path == "/api/services":
        return reply_json({"data": ["generator"]})
    if question.path != "/api/traces":
        return Reply(b"not found", 404)
    start_us = int(question.one("start"))
    kind = {"key": "span.kind", "type": "string", "value": "server"}
    span = {"traceID": f"{start_us:x}", "spanID": f"{start_us:x}", "operationName": "GET", "startTime": start_us, "duration": 5}
    whole = {**span, "processID": "p1", "tags": [kind], "references": [], "logs": []}
    processes = {"p1": {"serviceName": "generator", "tags": []}}
    return reply_json({"data": [{"traceID": span["traceID"], "spans": [whole], "processes": processes}]})


def tempo(question: Question) -> Reply:
    """The same of a Tempo."""
    if question.path == "/api/search":
        start_s = int(question.one("start"))
        listed = {"traceID": f"{start_s:x}", "startTimeUnixNano": str(start_s * 10**9), "durationMs": 1}
        return reply_json({"traces": [listed], "metrics": {}})
    start_s = int(question.path.rpartition("/")[2], 16)
    begin_ns = start_s * 10**9
    span = {"traceId": f"{start_s:032x}", "spanId": f"{start_s:016x}", "name": "GET", "kind": 2}
    timed = {**span, "startTimeUnixNano": str(begin_ns), "endTimeUnixNano": str(begin_ns + 5000)}
    service = {"attributes": [{"key": "service.name", "value": {"stringValue": "generator"}}]}
    return reply_json({"trace": {"resourceSpans": [{"resource": service, "scopeSpans": [{"spans": [timed]}]}]}})


SERVERS: dict[str, tuple[Server, str, str]] = {
    # The server, the path of its search, the flag that makes two steps of the window.
    "jaeger": (jaeger, "/api/traces", "600"),
    "tempo": (tempo, "/api/search", "600"),
}
BROKEN = {
    "not let in": (Reply(b"no", 401), "answered 401"),
    "forbidden": (Reply(b"no", 403), "pass credentials with"),
    "busy for good": (Reply(b"slow down", 429), "answered 429 (slow down) 5 times"),
    "failing": (Reply(b"no", 500), "answered 500"),
    "a page": (Reply(b"<html>sign in</html>", content_type="text/html"), "web page where JSON was expected"),
    "cut JSON": (Reply(b'{"data":[{"traceID"'), "no complete JSON"),
    "cut connection": (Reply(b'{"data":[], "traces":[]}', cut=9), "closed the connection before its answer was complete"),
    "empty": (Reply(b""), "no complete JSON"),
    "another schema": (reply_json({"status": "success", "data": {"resultType": "matrix"}}), " JSON"),
    "a list": (reply_json([1, 2]), " JSON"),
}


def pull(name: str, url: str, store: Path, *more: str) -> tuple[int, str]:
    """Exit code and what was said."""
    window = ("--since", SINCE.isoformat(), "--until", UNTIL.isoformat(), "--slice", SERVERS[name][2])
    result = CliRunner().invoke(build(), ["pull", name, url, "--store", str(store), *window, *more])
    if isinstance(result.exception, MeshsloError):  # `main` prints it and exits 2
        return 2, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def calls_in(store: Path) -> int:
    return open_store(store).scan().collect().height


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib3.util.retry.Retry.sleep", lambda *_, **__: None)


@pytest.mark.parametrize("name", SERVERS)
def test_a_working_server(name: str, tmp_path: Path) -> None:
    with answering(SERVERS[name][0]) as running:
        code, said = pull(name, running.url, tmp_path / "store", "--output", "json")
    assert (code, json.loads(said)["calls"]) == (0, 2), said


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("name", SERVERS)
def test_one_sentence_and_the_store_as_it_was(name: str, case: str, tmp_path: Path) -> None:
    works, search, _ = SERVERS[name]
    reply, sentence = BROKEN[case]
    with answering(lambda question: reply if question.path == search else works(question)) as running:
        code, said = pull(name, running.url, tmp_path / "store")
    assert code == 2, said
    assert running.url in said
    assert sentence in said
    assert "\n" not in said.strip()
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_is_not_there(name: str, tmp_path: Path) -> None:
    code, said = pull(name, f"http://127.0.0.1:{free_port()}", tmp_path / "store")
    assert (code, "connection refused" in said) == (2, True)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("name", SERVERS)
def test_a_slow_server(name: str, tmp_path: Path) -> None:
    def slow(question: Question) -> Reply:
        time.sleep(1.0)
        return SERVERS[name][0](question)

    with answering(slow) as running:
        code, said = pull(name, running.url, tmp_path / "store", "--timeout", "0.1")
    assert (code, "did not answer within 0.1 s" in said) == (2, True), said
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("status", RETRIED)
@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_is_busy_at_first(name: str, status: int, tmp_path: Path) -> None:
    refusals = iter([Reply(b"busy", status)] * 3)
    with answering(lambda question: next(refusals, None) or SERVERS[name][0](question)) as running:
        code, said = pull(name, running.url, tmp_path / "store")
    assert code == 0, said


@pytest.mark.parametrize("case", ["failing", "cut connection", "another schema"])
@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_fails_half_way_says_what_was_kept_and_goes_on_there(name: str, case: str, tmp_path: Path) -> None:
    works, search, _ = SERVERS[name]
    state: dict[str, Any] = {"fails": True}

    def half(question: Question) -> Reply:
        begins_s = float(question.one("start")) / (1e6 if name == "jaeger" else 1) if question.path == search else 0
        return BROKEN[case][0] if state["fails"] and begins_s >= MIDDLE_S else works(question)

    with answering(half) as running:
        code, said = pull(name, running.url, tmp_path / "store")
        assert (code, calls_in(tmp_path / "store")) == (2, 1), said
        assert "Kept is what came before, up to 2026-01-01T00:10:00+00:00: 1 calls. The same command goes on there" in said
        state["fails"] = False
        code, said = pull(name, running.url, tmp_path / "store", "--output", "json")
    told = json.loads(said)
    assert (code, told["calls"], told["duplicates"], told["skipped_s"]) == (0, 1, 0, 600)
    assert calls_in(tmp_path / "store") == 2
