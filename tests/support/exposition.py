"""A server of metrics that a real Prometheus scrapes: text, or native histograms in protobuf."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

import numpy as np

from tests.support.serving import serving

TEXT = "text/plain; version=0.0.4"
PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"


@dataclass
class Exposed:
    """What the server answers from now on."""

    port: int
    body: bytes
    content_type: str = TEXT


@contextmanager
def exposing(body: bytes, content_type: str = TEXT) -> Iterator[Exposed]:
    """A server on a free loopback port that answers every GET with `body`, until that is changed."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", exposed.content_type)
            self.send_header("Content-Length", str(len(exposed.body)))
            self.end_headers()
            self.wfile.write(exposed.body)

    with serving(Answers) as server:
        exposed = Exposed(server.server_port, body, content_type)
        yield exposed


def native_histogram(name: str, seconds: Sequence[float], schema: int) -> bytes:
    """A MetricFamily of one native histogram of these durations, delimited (client_model, metrics.proto)."""
    index = np.ceil(np.log2(np.asarray(seconds)) * 2**schema).astype(int)
    there, counts = np.unique(index, return_counts=True)
    spans, before = b"", None
    for at in there.tolist():
        gap = at if before is None else at - before - 1
        spans += _field(12, _signed(1, gap) + _number(2, 1))
        before = at
    deltas = b"".join(_signed(13, delta) for delta in np.diff(counts, prepend=0).tolist())
    told = _number(1, len(seconds)) + _double(2, float(np.sum(seconds))) + _signed(5, schema) + _double(6, 2.0**-128)
    metric = _field(7, told + _number(7, 0) + spans + deltas)
    family = _field(1, name.encode()) + _number(3, 4) + _field(4, metric)
    return _varint(len(family)) + family


def _varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def _number(tag: int, value: int) -> bytes:
    return _varint(tag << 3) + _varint(value)


def _signed(tag: int, value: int) -> bytes:
    return _number(tag, value * 2 if value >= 0 else -value * 2 - 1)


def _double(tag: int, value: float) -> bytes:
    return _varint(tag << 3 | 1) + np.float64(value).tobytes()


def _field(tag: int, body: bytes) -> bytes:
    return _varint(tag << 3 | 2) + _varint(len(body)) + body
