"""Every way a Prometheus can fail: one sentence that names it, exit 2, and the store as it was."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import MeshsloError
from meshslo.telemetry.pull.http import RETRIED
from meshslo.telemetry.store.metrics import open_metrics
from tests.support.answers import Question, Reply, answering, reply_json
from tests.support.net import free_port

RANGE, QUERY, NAMES = "/api/v1/query_range", "/api/v1/query", "/api/v1/label/__name__/values"
T0 = 1_767_225_600
LABELS = {
    "__name__": "istio_request_duration_milliseconds_bucket",
    "reporter": "source",
    "source_workload": "gateway",
    "destination_workload": "generator",
    "response_code": "200",
    "response_flags": "-",
    "instance": "a",
}


def steps_of(question: Question) -> list[int]:
    start, end, step = (int(question.one(name)) for name in ("start", "end", "step"))
    return list(range(start, end + 1, step))


def matrix(*result: dict[str, Any], **more: Any) -> Reply:
    return reply_json({"status": "success", "data": {"resultType": "matrix", "result": list(result)}, **more})


def vector() -> Reply:
    return reply_json({"status": "success", "data": {"resultType": "vector", "result": []}})


def working(question: Question) -> Reply:
    """A server with one histogram: each minute 3 calls below 1 s, one above."""
    if question.path == NAMES:
        return reply_json({"status": "success", "data": [LABELS["__name__"]]})
    if question.path == QUERY:
        return vector()
    if question.one("query").startswith("count("):
        return matrix({"metric": {}, "values": [[at, "2"] for at in steps_of(question)]})
    if "_bucket" not in question.one("query"):
        return matrix()
    minutes = [(at, (at - T0) // 60) for at in steps_of(question)]
    edges = {"1000": 3, "+Inf": 4}
    return matrix(
        *({"metric": {**LABELS, "le": le}, "values": [[at, str(by * n)] for at, n in minutes]} for le, by in edges.items()),
        warnings=["results may be partial"],
    )


def pull(url: str, store: Path, *more: str) -> tuple[int, str]:
    """Exit code and what was said."""
    window = ("--since", "2026-01-01T00:00:00Z", "--until", "2026-01-01T01:00:00Z")
    arguments = ["pull", "prometheus", url, "--store", str(store), *window, *more]
    result = CliRunner().invoke(build(), arguments)
    if isinstance(result.exception, MeshsloError):  # `main` prints it and exits 2
        return 2, str(result.exception)
    return result.exit_code, result.output


def broken_at(path: str, reply: Reply) -> Callable[[Question], Reply]:
    return lambda question: reply if question.path == path else working(question)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib3.util.retry.Retry.sleep", lambda *_, **__: None)


def test_a_working_server(tmp_path: Path) -> None:
    with answering(working) as running:
        code, said = pull(running.url, tmp_path / "store", "--output", "json")
    assert code == 0, said
    told = json.loads(said)
    assert told["series"] == 120
    assert any("results may be partial" in note for note in told["notes"]), "the server's warnings reach the user"


@pytest.mark.parametrize("path", [NAMES, RANGE])
@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (Reply(b"no", 401), "answered 401"),
        (Reply(b"no", 500), "answered 500"),
        (Reply(b"slow down", 429), "answered 429"),
        (Reply(b"<html>sign in</html>", content_type="text/html"), "web page where JSON was expected"),
        (Reply(b'{"status":"success","da'), "no complete JSON"),
        (Reply(b""), "no complete JSON"),
        (Reply(b'{"status":"success","data":[]}', cut=9), "closed the connection before its answer was complete"),
        (reply_json({"status": "success", "data": {"resultType": "scalar"}}), "another shape"),
        (reply_json({"tracing": True}), "another shape"),
        (reply_json([1, 2]), "another shape"),
        (reply_json({"status": "error", "error": "parse error"}, 400), "refused the question: parse error"),
        (reply_json({"status": "error", "error": "query timed out in expression evaluation"}, 422), "timed out"),
    ],
)
def test_one_sentence_and_the_store_as_it_was(path: str, reply: Reply, sentence: str, tmp_path: Path) -> None:
    with answering(broken_at(path, reply)) as running:
        code, said = pull(running.url, tmp_path / "store")
    assert code == 2
    assert running.url in said
    assert sentence in said
    assert "\n" not in said.strip()
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("points", [[[T0, {"value": 1}]], [[T0, "one"]], [[T0]], [[T0, "1", "2"]], [T0, "1"], [[T0, ""]]])
def test_points_that_are_no_numbers(points: list[Any], tmp_path: Path) -> None:
    odd = matrix({"metric": LABELS, "values": [[T0, "1"]]}, {"metric": LABELS | {"le": "1"}, "values": points})
    with answering(broken_at(RANGE, odd)) as running:
        code, said = pull(running.url, tmp_path / "store")
    assert (code, "no pairs of time and number" in said) == (2, True), said


def test_a_slow_server(tmp_path: Path) -> None:
    def slow(question: Question) -> Reply:
        time.sleep(1.0)
        return working(question)

    with answering(slow) as running:
        code, said = pull(running.url, tmp_path / "store", "--timeout", "0.1")
    assert (code, "did not answer within 0.1 s" in said) == (2, True)
    assert not (tmp_path / "store").exists()


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    code, said = pull(f"http://127.0.0.1:{free_port()}", tmp_path / "store")
    assert (code, "connection refused" in said) == (2, True)
    assert not (tmp_path / "store").exists()


def test_a_server_without_known_metrics_says_which_were_looked_for(tmp_path: Path) -> None:
    empty = reply_json({"status": "success", "data": []})
    with answering(broken_at(NAMES, empty)) as running:
        code, said = pull(running.url, tmp_path / "store")
    assert code == 2
    assert "holds nothing of" in said
    assert "istio, linkerd" in said
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("status", RETRIED)
def test_a_server_that_is_busy_at_first(status: int, tmp_path: Path) -> None:
    refusals = iter([Reply(b"busy", status)] * 3)
    with answering(lambda question: next(refusals, None) or working(question)) as running:
        code, said = pull(running.url, tmp_path / "store")
    assert code == 0, said


def test_a_window_that_is_too_much_is_asked_in_halves(tmp_path: Path) -> None:
    def small(question: Question) -> Reply:
        if question.path == RANGE and "count(" not in question.one("query") and len(steps_of(question)) > 10:
            error = "query processing would load too many samples into memory in query execution"
            return reply_json({"status": "error", "errorType": "execution", "error": error}, 422)
        return working(question)

    with answering(small) as running:
        code, said = pull(running.url, tmp_path / "store", "--output", "json")
    assert code == 0, said
    assert json.loads(said)["series"] == 120, "as many as in one question"


def test_a_server_that_fails_half_way_keeps_what_came_and_goes_on_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshslo.telemetry.prometheus.reader.SAMPLES_A_SLICE", 20)
    middle, state = T0 + 1800, {"fails": True}

    def half(question: Question) -> Reply:
        fails = state["fails"] and question.path == RANGE and int(question.one("start")) >= middle
        return Reply(b"gone", 500) if fails else working(question)

    with answering(half) as running:
        code, said = pull(running.url, tmp_path / "store")
        assert (code, "answered 500" in said) == (2, True)
        assert "Kept is what came before" in said
        assert "rows of metrics. The same command goes on there" in said
        kept = open_metrics(tmp_path / "store").scan().collect().height
        state["fails"] = False
        code, said = pull(running.url, tmp_path / "store", "--output", "json")
    told = json.loads(said)
    assert (code, told["duplicates"]) == (0, 0)
    assert (kept, told["series"]) == (120 - told["series"], 120 - kept)
    assert told["skipped_s"] > 0
    assert kept > 0
    assert open_metrics(tmp_path / "store").scan().collect()["value"].sum() == 60 * 4


def test_credentials_and_tenant_go_along(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    flags = ("--bearer-file", str(tmp_path / "token"), "--org-id", "blue", "--header", "X-Team=a")
    with answering(working) as running:
        code, said = pull(running.url, tmp_path / "store", *flags)
    assert code == 0, said
    for question in running.asked:
        sent = [question.headers.get(name) for name in ("authorization", "x-scope-orgid", "x-team")]
        assert sent == ["Bearer secret", "blue", "a"]
    written = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert b"secret" not in written


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--profile", "isto"), "no profile called isto; there are"),
        (("--step", "5"), "--step 5 is no length of time"),
        (("--header", "X-Team"), "has no value; write it as NAME=VALUE"),
        (("--since", "yesterday"), "'yesterday' is no time"),
        (("--since", "2026-01-02"), "is not before --until"),
        (("--bearer-file", "/nowhere"), "cannot be read"),
        (("--config", "/nowhere"), "cannot be read"),
    ],
)
def test_usage(flags: tuple[str, str], sentence: str, tmp_path: Path) -> None:
    with answering(working) as running:
        code, said = pull(running.url, tmp_path / "store", *flags)
    assert (code, sentence in said) == (2, True), said
    assert not (tmp_path / "store").exists()


def test_a_directory_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with answering(working) as running:
        code, _ = pull(running.url, tmp_path)
    assert code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert running.asked == [], "nothing is asked that could not be kept"
