"""Collectors that only remember, on a free loopback port: OTLP over HTTP, and the paths of OTLP over gRPC."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.serving import serving


class Sink:
    """What arrived: (service, span name, attributes) of each span."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.spans: list[tuple[str, str, dict[str, Any]]] = []
        self.paths: list[str] = []
        self._kinds: list[int] = []

    def take(self, payload: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(payload).resource_spans:
            service = next(item.value.string_value for item in resource.resource.attributes if item.key == "service.name")
            for scope in resource.scope_spans:
                self.spans += [(service, span.name, {item.key: item.value for item in span.attributes}) for span in scope.spans]
                self._kinds += [span.kind for span in scope.spans]

    def kinds(self) -> list[str]:
        return [Span.SpanKind.Name(kind) for kind in self._kinds]

    def names(self) -> list[str]:
        return [name for _, name, _ in self.spans]


@contextmanager
def otlp_sink() -> Iterator[Sink]:
    """A running sink; stops at the end."""

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            payload = self.rfile.read(int(self.headers["content-length"]))
            sink.paths.append(self.path)
            if self.path == "/v1/traces":
                sink.take(payload)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

    with serving(Taking) as server:
        sink = Sink(server.server_port)
        yield sink


@contextmanager
def grpc_sink() -> Iterator[tuple[str, list[str]]]:
    """Address of a running sink, and the paths of the exports it was sent."""
    paths: list[str] = []

    class Handler(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            paths.append(handler_call_details.method)
            return grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"")

    server = grpc.server(ThreadPoolExecutor(2), handlers=(Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", paths
    finally:
        server.stop(None).wait()
