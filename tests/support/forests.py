"""Random traces of every shape that normalising tells apart, as OTLP requests: seeded, so that a failure comes again."""

import random
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SERVER, CLIENT = 2, 3
START_NS: Final = 1_793_610_000 * 10**9
SERVICES: Final = ("gateway", "retriever", "generator", "reranker", "linkerd-proxy", "unknown_service:python", "")
CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    "gen_ai.operation.name": ("chat", "embeddings", "invoke_agent", "execute_tool"),
    "gen_ai.request.model": ("m-large", "m-small"),
    "gen_ai.system": ("openai",),
    "tenant.id": ("acme", "zen"),
    "http.route": ("/v1/chat", "/v1/chat?q=1", "search"),
    "rpc.service": ("pkg.Search",),
    "http.response.status_code": (200, 200, 200, 404, 429, 503, 504),
    "http.status_code": ("200", "0", "503"),
    "rpc.grpc.status_code": (0, 4, 13),
    "rpc.response.status_code": ("DEADLINE_EXCEEDED", "UNAVAILABLE"),
    "error.type": ("httpx.ReadTimeout", "CancelledError", "503", "404", "ConnectError", "boom"),
    "error": ("true",),
    "response_flags": ("-", "UT", "DC", "SI", "URX,UF", "UC", "DI"),
    "canceled": ("true",),
    "meshslo.outcome": ("ok", "timeout", "nonsense"),
    "meshslo.caller": ("batch",),
    "meshslo.stream.first_token_s": (0.01, -1.0),
    "meshslo.stream.max_gap_s": (0.002, 0.2),
    "meshslo.stream.open_gap_s": (0.3,),
    "meshslo.first_byte_s": (0.001,),
    "gen_ai.request.stream": (True, False),
    "server.address": ("generator.prod.svc.cluster.local", "api.openai.com", "retriever:8080"),
    "upstream_cluster": ("outbound|80||generator.prod.svc.cluster.local", "inbound|80||", "retriever"),
    "retry.count": ("1", "2"),
    "istio.canonical_service": ("generator",),
    "http.response.header.content-type": (["text/event-stream"],),
    "zone": ("a", "b"),
    "node_id": ("router~10.0.0.1~edge-1.istio-system~x", "sidecar~10.0.0.2~gen-7.prod~x"),
    "asgi.event.type": ("http.response.start", "http.response.body", "http.response.body"),
}
NAMES: Final = ("GET", "router generator egress", "async ext_authz egress", "chat m-large")
SCOPES: Final = ("lib", "opentelemetry.instrumentation.httpx", "envoy")
EVENTS: Final = (
    "first_upstream_rx_byte_received",
    "last_downstream_tx_byte_sent",
    "last_upstream_rx_byte_received",
    "First Token Stream Event",
)
STATES: Final = ("ot=th:c", "ot=th:0", "vendor=x,ot=rv:1;th:8", "vendor=x", "")


def forest(seed: int, traces: int) -> ExportTraceServiceRequest:
    """`traces` random traces of up to 12 spans within 20 minutes."""
    dice, request = random.Random(seed), ExportTraceServiceRequest()
    for number in range(1, traces + 1):
        _trace(dice, request, number)
    return request


def _trace(dice: random.Random, request: ExportTraceServiceRequest, number: int) -> None:
    begin = START_NS + dice.randrange(1_200 * 10**9)
    spans: list[tuple[bytes, int, int, int]] = []
    state = dice.choice(STATES)
    for _ in range(dice.randint(1, 12)):
        kind = dice.choice((1, 2, 2, 2, 3, 3, 3, 4))
        own, parent = dice.randbytes(8), _parent(dice, spans)
        if kind == SERVER and spans and spans[-1][3] == CLIENT and dice.random() < 0.2:
            own = spans[-1][0]  # both sides of a call share one id, as Zipkin's do
        start, end = _times(dice, begin, next((item for item in spans if item[0] == parent), None))
        resource_spans = request.resource_spans.add()
        service = dice.choice(SERVICES)
        if service:
            _put(resource_spans.resource.attributes, "service.name", service)
        _put(resource_spans.resource.attributes, "k8s.pod.name", f"{service}-1")
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = dice.choice(SCOPES)
        span = scope_spans.spans.add(
            trace_id=number.to_bytes(16, "big"),
            span_id=own,
            parent_span_id=parent,
            kind=kind,
            name=dice.choice(NAMES),
            start_time_unix_nano=start,
            end_time_unix_nano=end,
            trace_state=state,
        )
        span.status.code = dice.choice((0, 0, 0, 1, 2))
        if dice.random() < 0.45:
            _put(span.attributes, "component", "proxy")
        for name in dice.sample(sorted(CHOICES), dice.randint(0, 9)):
            _put(span.attributes, name, dice.choice(CHOICES[name]))
        for name in dice.sample(EVENTS, dice.randint(0, 2)):
            span.events.add(name=name, time_unix_nano=start + dice.randrange(end - start + 1))
        spans.append((own, start, end, kind))


def _parent(dice: random.Random, spans: list[tuple[bytes, int, int, int]]) -> bytes:
    if not spans or dice.random() < 0.05:
        return b""
    return dice.randbytes(8) if dice.random() < 0.05 else dice.choice(spans[-4:])[0]


def _times(dice: random.Random, begin: int, around: tuple[bytes, int, int, int] | None) -> tuple[int, int]:
    low, high = (around[1], around[2]) if around else (begin, begin + 10**9)
    start = dice.randrange(low, high + 1)
    return start, dice.randrange(start, max(high, start) + 1)


def _put(attributes: Any, name: str, value: Any) -> None:
    item = attributes.add(key=name).value
    if isinstance(value, bool):
        item.bool_value = value
    elif isinstance(value, int):
        item.int_value = value
    elif isinstance(value, float):
        item.double_value = value
    elif isinstance(value, list):
        item.array_value.values.add(string_value=value[0])
    else:
        item.string_value = value
