"""Every way a server can fail has one sentence that names the server, the reason and the way out."""

import gzip
import socket
from pathlib import Path
from threading import Event, Thread

import pytest

from meshslo.telemetry.errors import BadConfigError, SourceError
from meshslo.telemetry.pull.http import Access, Limits, Server
from tests.support.answers import Question, Reply, answering, reply_json
from tests.support.net import free_port

QUICK = Limits(timeout_s=5.0, tries=3, backoff_s=0.01, longest_wait_s=1.0)


def test_credentials_and_the_tenant_header_go_along() -> None:
    with answering(lambda _: reply_json({})) as running:
        Server(running.url, Access({"X-Team": "a"}, bearer="secret\n", org_id="blue"), QUICK).json("/x")
    headers = running.asked[0].headers
    assert (headers["x-team"], headers["authorization"], headers["x-scope-orgid"]) == ("a", "Bearer secret", "blue")


def test_credentials_in_the_address_are_used_and_never_printed() -> None:
    with answering(lambda _: Reply(status=403)) as running:
        server = Server(running.url.replace("//", "//anna:geheim@"), limits=QUICK)
        with pytest.raises(SourceError) as caught:
            server.get("/x")
    assert running.asked[0].headers["authorization"] == "Basic YW5uYTpnZWhlaW0="
    assert "geheim" not in str(caught.value)
    assert "geheim" not in server.url


def test_refused_connection() -> None:
    with pytest.raises(SourceError, match=r"http://127.0.0.1:\d+/x: connection refused .* is the server running"):
        Server(f"http://127.0.0.1:{free_port()}", limits=QUICK).get("/x")


def test_unknown_host() -> None:
    with pytest.raises(SourceError, match="no such host; check the address"):
        Server("http://nowhere.invalid", limits=QUICK).get("/x")


def test_a_slow_server() -> None:
    done = Event()

    def late(_: Question) -> Reply:
        done.wait(10)
        return Reply()

    with answering(late) as running:
        with pytest.raises(SourceError, match=r"did not answer within 0.2 s; ask for a shorter window"):
            Server(running.url, limits=Limits(timeout_s=0.2, tries=1)).get("/x")
        done.set()


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (Reply(b'{"e": "no"}', 401), r'/x answered 401 \({"e": "no"}\); pass credentials with'),
        (Reply(b"<html>sign in", 403, "text/html"), r"/x answered 403; pass credentials with"),
        (Reply(status=404), r"/x answered 404; is this the API's base address\?"),
        (Reply(b"bad window", 400), r"/x answered 400 \(bad window\)"),
        (Reply(b"<html>", 200, "text/html"), r"answered with a web page where JSON was expected"),
        (Reply(b"<!doctype html>"), r"answered with a web page where JSON was expected"),
        (Reply(b'{"data": [1, 2'), r"answered with 14 bytes that are no complete JSON"),
        (Reply(b""), r"answered with 0 bytes that are no complete JSON"),
        (Reply(b'{"data": []}', cut=5), r"closed the connection before its answer was complete"),
        (Reply(b"no gzip", headers={"Content-Encoding": "gzip"}), r"compressed body that cannot be opened"),
    ],
)
def test_an_answer_nobody_can_use(reply: Reply, sentence: str) -> None:
    with answering(lambda _: reply) as running, pytest.raises(SourceError, match=sentence):
        Server(running.url, limits=QUICK).json("/x")
    assert len(running.asked) == 1, "asking again would not have helped"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_that_is_busy_at_first_is_asked_again(status: int) -> None:
    replies = [Reply(status=status, headers={"Retry-After": "0"}), Reply(status=status), reply_json({"fine": 1})]
    with answering(lambda _: replies[len(running.asked) - 1]) as running:
        assert Server(running.url, limits=QUICK).json("/x") == {"fine": 1}
    assert len(running.asked) == 3


def test_a_server_that_stays_busy() -> None:
    sentence = r"answered 429 \(slow down\) 3 times; ask again later"
    with answering(lambda _: Reply(b"slow down", 429)) as running, pytest.raises(SourceError, match=sentence):
        Server(running.url, limits=QUICK).json("/x")
    assert len(running.asked) == 3


def test_a_long_answer_is_not_read_to_its_end() -> None:
    packed = gzip.compress(b" " * 5_000_000)
    reply = Reply(packed, headers={"Content-Encoding": "gzip"})
    with answering(lambda _: reply) as running, pytest.raises(SourceError, match="more than 1000 bytes; ask for a shorter"):
        Server(running.url, limits=Limits(max_bytes=1000)).get("/x")


def test_a_redirect_to_another_host_takes_no_credentials_along() -> None:
    with answering(lambda _: reply_json({})) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        with answering(lambda _: Reply(status=302, headers={"Location": f"{elsewhere}/y"})) as running:
            Server(running.url, Access({"X-Api-Key": "secret"}, bearer="secret"), QUICK).json("/x")
    assert not {"authorization", "x-api-key"} & set(other.asked[0].headers)


def test_endless_redirects() -> None:
    reply = Reply(status=302, headers={"Location": "/x"})
    with answering(lambda _: reply) as running, pytest.raises(SourceError, match="redirects without end"):
        Server(running.url, limits=QUICK).get("/x")


def test_something_that_is_no_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def talk() -> None:
            connection, _ = listener.accept()
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            connection.close()

        thread = Thread(target=talk)
        thread.start()
        with pytest.raises(SourceError, match="closed the connection before its answer was complete"):
            Server(url, limits=Limits(timeout_s=5, tries=1)).get("/x")
        thread.join()


@pytest.mark.parametrize("url", ["localhost:9090", "ftp://host", "", "http://"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(BadConfigError, match="is no address of a server"):
        Server(url)


def test_a_missing_certificate_file(tmp_path: Path) -> None:
    with pytest.raises(BadConfigError, match=r"no file .*ca\.pem"):
        Server("https://host", Access(ca_file=tmp_path / "ca.pem"))
