"""A real collector, fed by real clients over both ports: what it answers, what it stores, what it survives."""

import gzip
import json
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pyarrow as pa
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

from meshslo.telemetry.store import open_store
from tests.support.collector import Collector, running
from tests.support.http2 import trailers_of_call
from tests.support.otlp import make_batch, make_request, make_span
from tests.support.rounds import ROUNDS

pytestmark = pytest.mark.system

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
MIB = 2**20


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running(tmp_path_factory.mktemp("collector"), "--max-message-mib", "4") as collector:
        yield collector


class Ledger:
    """How many spans the store must have by now: what nobody entered must not be there."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self.spans = 0

    def gained(self, spans: int) -> None:
        """Enter `spans` more, and see that they are there."""
        self.spans += spans
        self.check()

    def check(self) -> None:
        """See that the store has them, and no others."""
        assert open_store(self._store).scan().collect().height == self.spans


@pytest.fixture(scope="module", autouse=True)
def ledger(collector: Collector) -> Iterator[Ledger]:
    ledger = Ledger(collector.store)
    yield ledger
    ledger.check()
    assert collector.client.get("/healthz").json() == {"status": "ok"}, "it has not survived the tests"


@pytest.fixture
def http(collector: Collector) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{collector.http}", timeout=30) as client:
        yield client


@pytest.fixture
def channel(collector: Collector) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(collector.grpc, options=[("grpc.max_send_message_length", -1)]) as channel:
        yield channel


def post(http: httpx.Client, content: bytes, **headers: str) -> httpx.Response:
    return http.post("/v1/traces", content=content, headers={**PROTOBUF, **headers})


def export(channel: grpc.Channel, request: bytes, **options: Any) -> ExportTraceServiceResponse:
    return ExportTraceServiceResponse.FromString(channel.unary_unary(EXPORT)(request, timeout=30, **options))


def otlp_json(request: ExportTraceServiceRequest) -> dict[str, Any]:
    """A request as OTLP/JSON writes it: hex ids, numbers for enums."""
    document = MessageToDict(request, use_integers_for_enums=True)
    ids = iter(span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans)
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                real = next(ids)
                span.update(traceId=real.trace_id.hex().upper(), spanId=real.span_id.hex())
    return document


def zstd(body: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(body)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        (None, bytes),
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", zstd),
        ("GZIP", gzip.compress),
    ],
)
def test_http_takes_protobuf_compressed_or_not(http: httpx.Client, encoding: str | None, encode, ledger: Ledger) -> None:
    answer = post(http, encode(make_batch(3)), **({"Content-Encoding": encoding} if encoding else {}))
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "application/x-protobuf", b"")
    ledger.gained(3)


def test_a_gzip_body_of_several_members_is_one_body(http: httpx.Client, ledger: Ledger) -> None:
    batch = make_batch(2)
    assert post(http, gzip.compress(batch[:50]) + gzip.compress(batch[50:]), **{"Content-Encoding": "gzip"}).status_code == 200
    ledger.gained(2)


def test_http_takes_json_with_hex_ids_text_or_plain_numbers_and_unknown_fields(
    collector: Collector, http: httpx.Client, ledger: Ledger
) -> None:
    span = make_span()
    document = otlp_json(make_request([span, make_span()]))
    first = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    first.update(startTimeUnixNano=span.start_time_unix_nano, invented={"a": [1]}, flags=256)
    answer = http.post("/v1/traces", content=json.dumps(document), headers={"Content-Type": "application/json; charset=utf-8"})
    assert (answer.status_code, answer.headers["content-type"], answer.json()) == (200, "application/json", {})
    ledger.gained(2)
    assert span.span_id in open_store(collector.store).scan().collect()["span_id"].to_list()


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_grpc_takes_batches_compressed_or_not(channel: grpc.Channel, compression: grpc.Compression, ledger: Ledger) -> None:
    assert not export(channel, make_batch(3), compression=compression).HasField("partial_success")
    ledger.gained(3)


def test_an_empty_batch_is_a_success(http: httpx.Client, channel: grpc.Channel) -> None:
    assert post(http, b"").status_code == 200
    assert http.post("/v1/traces", content=b"{}", headers=JSON).json() == {}
    assert not export(channel, b"").HasField("partial_success")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_sdks_own_exporters_are_understood(collector: Collector, protocol: str, ledger: Ledger) -> None:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    exporter = (
        HttpExporter(endpoint=f"http://{collector.http}/v1/traces", compression=Compression.Gzip)
        if protocol == "http"
        else GrpcExporter(endpoint=f"http://{collector.grpc}", insecure=True, compression=grpc.Compression.Gzip)
    )
    provider = TracerProvider(resource=Resource.create({"service.name": f"sdk-{protocol}"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    for _ in range(10):
        with provider.get_tracer("test").start_as_current_span("work", kind=SpanKind.SERVER):
            pass
    provider.shutdown()
    calls = open_store(collector.store).scan().collect()
    assert calls["hop"].to_list().count(f"ingress>sdk-{protocol}") == 10
    ledger.gained(10)


BAD_SPANS = {
    "end_time_unix_nano is missing": {"end_time_unix_nano": 0},
    "start_time_unix_nano is missing": {"start_time_unix_nano": 0},
    "end_time_unix_nano is before start_time_unix_nano": {"end_time_unix_nano": 1},
    "trace_id must be 16 bytes and span_id 8": {"trace_id": b"short"},
    "trace_id or span_id is all zero": {"span_id": bytes(8)},
}


@pytest.mark.parametrize("reason", BAD_SPANS)
@pytest.mark.parametrize("port", ["http", "json", "grpc"])
def test_a_bad_span_is_rejected_with_its_reason_and_its_neighbours_kept(
    http: httpx.Client, channel: grpc.Channel, reason: str, port: str, ledger: Ledger
) -> None:
    request = make_request([make_span(), make_span(**BAD_SPANS[reason]), make_span()])
    if port == "http":
        answer = ExportTraceServiceResponse.FromString(post(http, request.SerializeToString()).content)
    elif port == "grpc":
        answer = export(channel, request.SerializeToString())
    else:
        body = http.post("/v1/traces", json=otlp_json(request)).json()
        partial = body["partialSuccess"]
        answer = ExportTraceServiceResponse()
        answer.partial_success.rejected_spans = int(partial["rejectedSpans"])
        answer.partial_success.error_message = partial["errorMessage"]
    assert answer.partial_success.rejected_spans == 1
    assert answer.partial_success.error_message == f"1 of 3 spans rejected: {reason} (1)"
    ledger.spans += 2


def test_a_batch_of_bad_spans_only_stores_nothing(channel: grpc.Channel) -> None:
    answer = export(channel, make_batch([make_span(end_time_unix_nano=0), make_span(span_id=b"")]))
    assert answer.partial_success.rejected_spans == 2


def status_of(answer: httpx.Response) -> Status:
    if answer.headers["content-type"] == "application/x-protobuf":
        return Status.FromString(answer.content)
    return Status(code=answer.json()["code"], message=answer.json()["message"])


INVALID, NOT_FOUND, UNIMPLEMENTED = 3, 5, 12
HALF = make_batch(4)[:-7]
BOMB = gzip.compress(bytes(30 * MIB))
REFUSED = {
    "garbage": (400, INVALID, "no OTLP trace export", {"content": b"\x00\xffgarbage" * 9, "headers": PROTOBUF}),
    "half a message": (400, INVALID, "no OTLP trace export", {"content": HALF, "headers": PROTOBUF}),
    "garbage as JSON": (400, INVALID, "no JSON", {"content": b"{'resourceSpans'", "headers": JSON}),
    "other JSON": (400, INVALID, "not OTLP/JSON", {"content": b'{"spans": []}', "headers": JSON}),
    "deep JSON": (400, INVALID, "no JSON", {"content": b"[" * 100_000, "headers": JSON}),
    "JSON with an id that is none": (400, INVALID, "not OTLP/JSON", {"content": b'{"resourceSpans": [1]}', "headers": JSON}),
    "no gzip": (
        400,
        INVALID,
        "is not gzip",
        {"content": b"no such thing", "headers": {**PROTOBUF, "Content-Encoding": "gzip"}},
    ),
    "half a gzip": (
        400,
        INVALID,
        "ends too early",
        {"content": gzip.compress(HALF)[:-9], "headers": {**PROTOBUF, "Content-Encoding": "gzip"}},
    ),
    "no zstd": (400, INVALID, "is not zstd", {"content": b"x", "headers": {**PROTOBUF, "Content-Encoding": "zstd"}}),
    "too large": (413, INVALID, "larger than 4194304 bytes", {"content": bytes(5 * MIB), "headers": PROTOBUF}),
    "far too large": (413, INVALID, "larger than 4194304 bytes", {"content": bytes(40 * MIB), "headers": PROTOBUF}),
    "a bomb": (413, INVALID, "opens to more", {"content": BOMB, "headers": {**PROTOBUF, "Content-Encoding": "gzip"}}),
    "a zstd bomb": (
        413,
        INVALID,
        "opens to more",
        {"content": zstd(bytes(30 * MIB)), "headers": {**PROTOBUF, "Content-Encoding": "zstd"}},
    ),
    "another type": (415, INVALID, "'text/plain' is not read", {"content": b"x", "headers": {"Content-Type": "text/plain"}}),
    "no type": (415, INVALID, "Content-Type '' is not read", {"content": b"x", "headers": {}}),
    "another compression": (
        415,
        INVALID,
        "'br' is not read here; send gzip, deflate, zstd or none",
        {"content": b"x", "headers": {**JSON, "Content-Encoding": "br"}},
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_http_refuses_with_a_status_in_the_senders_encoding(http: httpx.Client, what: str) -> None:
    status, code, message, request = REFUSED[what]
    answer = http.post("/v1/traces", **request)
    assert answer.status_code == status
    wanted = request["headers"].get("Content-Type", "")
    assert answer.headers["content-type"] == (wanted if wanted == "application/x-protobuf" else "application/json")
    assert status_of(answer).code == code
    assert message in status_of(answer).message


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/v1/traces", 405, UNIMPLEMENTED), ("POST", "/v1/nothing", 404, NOT_FOUND), ("GET", "/", 404, NOT_FOUND)],
)
@pytest.mark.parametrize("headers", [PROTOBUF, JSON], ids=["protobuf", "json"])
def test_other_paths_and_methods_are_named(http: httpx.Client, method: str, path: str, status: int, code: int, headers) -> None:
    answer = http.request(method, path, headers=headers)
    assert (answer.status_code, status_of(answer).code) == (status, code)
    assert "POST /v1/traces, /v1/logs" in status_of(answer).message
    assert status != 405 or "POST" in answer.headers["allow"]


def test_decompression_is_bounded_in_memory(collector: Collector, http: httpx.Client, channel: grpc.Channel) -> None:
    def peak_mib() -> int:
        text = Path(f"/proc/{collector.process.pid}/status").read_text()
        return int(text.split("VmHWM:")[1].split()[0]) // 1024

    before = peak_mib()
    squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
    # After a full flush the same zeros are the same bytes again: 1 GiB of them for the work of 32 MiB.
    first, again = (squeezer.compress(bytes(16 * MIB)) + squeezer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    bomb = first + again * 63
    assert len(bomb) <= MIB
    for _ in range(ROUNDS):
        assert post(http, bomb, **{"Content-Encoding": "gzip"}).status_code == 413
        with pytest.raises(grpc.RpcError) as caught:
            export(channel, bytes(160 * MIB), compression=grpc.Compression.Gzip)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert peak_mib() - before < 100


@pytest.mark.parametrize("request_", [b"\x00\xffgarbage" * 9, HALF], ids=["garbage", "half a message"])
def test_grpc_refuses_what_is_no_message(channel: grpc.Channel, request_: bytes) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        export(channel, request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "no OTLP trace export" in caught.value.details()


def test_grpc_refuses_what_is_too_large(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        export(channel, bytes(5 * MIB))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "grpc-status-details-bin" not in dict(caught.value.trailing_metadata()), "sending it again would not help"


def test_other_services_are_unimplemented(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/opentelemetry.proto.collector.profiles.v1.ProfilesService/Export")(b"", timeout=30)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_zstd_over_grpc_is_refused_for_good_and_its_connection_lives(collector: Collector, ledger: Ledger) -> None:
    # grpcio knows no zstd and refuses it before a handler is asked: INTERNAL, where the protocol has UNIMPLEMENTED. Neither
    # is sent again by an exporter. Over HTTP zstd is taken.
    batch = make_batch(3)
    answer = trailers_of_call(collector.grpc, EXPORT, zstd(batch), {"grpc-encoding": "zstd"}, compressed=True)
    assert b"grpc-status\x0213" in answer
    assert b"grpc-encoding" in answer, "the reason names what is wrong"
    plain = trailers_of_call(collector.grpc, EXPORT, batch, {"grpc-encoding": "identity"}, compressed=False)
    assert b"grpc-status\x010" in plain
    ledger.gained(3)


@pytest.mark.parametrize("port", ["http", "grpc"])
@pytest.mark.parametrize(
    "noise",
    [
        b"\x00" * 1000,
        b"GET /v1/traces HTTP/1.1\r\nbroken header\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 500\r\n\r\nhalf",
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 200,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    ],
    ids=["zeros", "broken header", "half a body", "broken chunk", "broken HTTP/2", "TLS"],
)
def test_noise_on_a_port_stores_nothing_and_stops_nothing(collector: Collector, port: str, noise: bytes) -> None:
    host, _, number = getattr(collector, port).rpartition(":")
    with socket.create_connection((host, int(number)), timeout=10) as connection:
        connection.sendall(noise)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    assert collector.client.get("/healthz").status_code == 200
