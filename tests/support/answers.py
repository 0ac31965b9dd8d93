"""A loopback HTTP server that answers as a test says, and remembers what it was asked."""

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.serving import serving


@dataclass(frozen=True)
class Question:
    """What a client asked: path, query parameters (each a list), headers with lower-case names."""

    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]

    def one(self, name: str) -> str:
        """The single value of a query parameter."""
        (value,) = self.query[name]
        return value


@dataclass(frozen=True)
class Reply:
    """What to answer; `cut` closes the connection after that many bytes of the body."""

    body: bytes = b""
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


def reply_json(document: Any, status: int = 200) -> Reply:
    """`document` as JSON."""
    return Reply(json.dumps(document).encode(), status)


@dataclass
class Answering:
    """A running server: its address and every question so far."""

    url: str
    asked: list[Question] = field(default_factory=list)


@contextmanager
def answering(answer: Callable[[Question], Reply]) -> Iterator[Answering]:
    """A server on a free loopback port that answers each GET with `answer(question)`; stopped at the end."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            question = Question(parts.path, parse_qs(parts.query, keep_blank_values=True), headers)
            running.asked.append(question)
            # Who asked may have gone meanwhile, for a failure of another answer.
            with suppress(BrokenPipeError, ConnectionResetError):
                self.send(answer(question))

        def send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body[: reply.cut])
            if reply.cut is not None:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)

    with serving(Answers) as server:
        running = Answering(f"http://127.0.0.1:{server.server_port}")
        yield running
