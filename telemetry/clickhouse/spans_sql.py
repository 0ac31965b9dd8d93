"""`otel_traces` of the OpenTelemetry Collector's ClickHouse exporter as the columns that normalising reads, one row a span.

The same meaning as `telemetry.normalize.decode` and `.columns`, from the same tables of names. Attribute values are all text
there; kinds and statuses are spelt in two ways (the exporter changed in 2024).
Source: opentelemetry-collector-contrib, exporter/clickhouseexporter/internal/sqltemplates/traces_table.sql.
"""

from collections.abc import Mapping
from typing import Final

from meshslo.telemetry.normalize.outcomes import GRPC_CODES
from meshslo.telemetry.normalize.roles import _OPENINFERENCE, _VERCEL
from meshslo.telemetry.normalize.scopes import HEADERS_ONLY, LINKERD
from meshslo.telemetry.normalize.spans import (
    ATTRIBUTES,
    CLIENT,
    COMPLETE_EVENTS,
    HEADERS_EVENT,
    LONGEST_TEXT,
    RESOURCE,
    SERVER,
    TOKEN_EVENT,
)

from .sql import Step, Steps, cases, first_set, listed, literal

KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES: Final = ("unset", "ok", "error")

# 2 ** 56 as a float: the whole of a sampling threshold.
_WHOLE: Final = "72057594037927936.0"


_SOUND: Final = (
    "length(TraceId) = 32 AND length(SpanId) = 16 AND length(ParentSpanId) IN (0, 16) "
    "AND match(TraceId, '[^0]') AND match(SpanId, '[^0]') AND toUnixTimestamp64Nano(Timestamp) > 0"
)
"""What the local decoder asks of a span; the exporter writes only spans with an end after their begin."""


def spans(table: str, condition: str) -> Steps:
    """The spans of `table` that fulfil `condition`, with every column that normalising reads."""
    first = Step({**_FIXED, **_LOOKED_UP}, f"FROM {table} WHERE {_SOUND} AND {condition}", whole=True)
    return Steps((first,)).extended({**_texts(), **_SETTLED, **_MEASURED})


def raw_spans(table: str, condition: str) -> str:
    """The same spans as the columns of `telemetry.normalize.SPANS`: ids in hex, '' for what is not set."""
    fixed = {_RAW.get(name, name): expression for name, expression in _FIXED.items() if name not in _BY_KIND}
    complete = (
        f"multiIf(kind = {SERVER}, {_FIXED['server_complete_ns']}, kind = {CLIENT}, {_FIXED['client_complete_ns']}, NULL)"
    )
    chosen = Steps(
        (Step({**fixed, "complete_ns": complete, **_LOOKED_UP}, f"FROM {table} WHERE {_SOUND} AND {condition}", True),)
    )
    handed = {name: name for name in (*fixed, "complete_ns")}
    return chosen.then({**handed, **{name.removeprefix("a_"): text for name, text in _texts().items()}}).sql()


_RAW: Final = {"trace": "trace_id", "id": "span_id", "parent_id": "parent_span_id", "begin": "start_ns", "ended": "end_ns"}
_BY_KIND: Final = ("server_complete_ns", "client_complete_ns")


def _texts() -> dict[str, str]:
    """Every attribute column as text: the best spelling that is set, the span's own before the resource's."""
    texts = {f"a_{column}": _first_said([_NUMBERED[place] for place in places]) for column, places in _PLACES.items()}
    texts["a_service"] = "service_name"
    return {name: f"leftUTF8({text}, {LONGEST_TEXT})" for name, text in texts.items()}


def _first_said(names: list[str]) -> str:
    """The first text that says something, '' where none does."""
    *others, last = names
    chosen = f"if({last} = '-', '', {last})"
    for name in reversed(others):
        chosen = f"if({name} IN ('', '-'), {chosen}, {name})"
    return chosen


def _in_span(name: str) -> str:
    return f"SpanAttributes[{literal(name)}]"


_PLACES: Final[Mapping[str, list[str]]] = {
    **{column: [_in_span(name) for name in names] for column, names in ATTRIBUTES.items()},
    **{
        column: [place for name in names for place in (_in_span(name), f"ResourceAttributes[{literal(name)}]")]
        for column, names in RESOURCE.items()
    },
}
_NUMBERED: Final[Mapping[str, str]] = {
    place: f"v_{number}" for number, place in enumerate(dict.fromkeys(place for places in _PLACES.values() for place in places))
}
"""The name that each looked up attribute gets: analysing a statement takes long, and longer where lookups stand in it again."""
_LOOKED_UP: Final[Mapping[str, str]] = {
    "service_name": "toString(ServiceName)",
    **{name: place for place, name in _NUMBERED.items()},
}


def _number_of(words: tuple[str, ...], column: str, prefix: str) -> str:
    spelt = ", ".join(f"'{word}', '{prefix}{word}'" for word in words)
    numbers = ", ".join(f"{number}, {number}" for number in range(len(words)))
    return f"transform(lower({column}), [{spelt}], [{numbers}], 0)"


def _event(name: str) -> str:
    """Time of the first event of this name in Unix ns, null where there is none."""
    at = f"indexOf(`Events.Name`, {literal(name)})"
    return f"if({at} = 0, NULL, toUnixTimestamp64Nano(`Events.Timestamp`[{at}]))"


_FIXED: Final[Mapping[str, str]] = {
    "trace": "lower(TraceId)",
    "id": "lower(SpanId)",
    "parent_id": "if(match(ParentSpanId, '[^0]'), lower(ParentSpanId), '')",
    "kind": _number_of(KINDS, "SpanKind", "span_kind_"),
    "status": _number_of(STATUSES, "StatusCode", "status_code_"),
    "name": "toString(SpanName)",
    "scope": "toString(ScopeName)",
    "begin": "toUnixTimestamp64Nano(Timestamp)",
    "ended": "toUnixTimestamp64Nano(Timestamp) + toInt64(Duration)",
    "trace_state": "TraceState",
    "headers_ns": _event(HEADERS_EVENT),
    "token_ns": _event(TOKEN_EVENT),
    "server_complete_ns": _event(COMPLETE_EVENTS[SERVER]),
    "client_complete_ns": _event(COMPLETE_EVENTS[CLIENT]),
}


def _float(text: str) -> str:
    return f"if(isFinite(toFloat64OrZero({text})), toFloat64OrNull({text}), NULL)"


def _integer(text: str, kind: str, low: int, high: int) -> str:
    """The text as an integer of `kind`, null where it is none or beyond [low, high]."""
    value = _float(text)
    return f"if({value} >= {low} AND {value} < {high + 1}, to{kind}(trunc(assumeNotNull({value}))), NULL)"


def _seconds(text: str) -> str:
    value = _float(text)
    return f"if({value} BETWEEN 0 AND 1e9, {value}, NULL)"


def _moment(text: str, unit_ns: str = "1e9") -> str:
    return f"begin + toInt64(round({_seconds(text)} * {unit_ns}))"


def _true(text: str) -> str:
    return f"lower({text}) IN ('true', '1')"


_IS_LINKERD: Final = f"a_service = {literal(LINKERD)}"
_IS_ENVOY: Final = "(a_component = 'proxy' OR scope = 'envoy')"
_KNOWN_SERVICE: Final = f"if(startsWith(a_service, 'unknown_service') OR {_IS_LINKERD}, '', a_service)"
_STATUS: Final = _integer("a_status_code", "Int16", 1, 999)

_SETTLED: Final[Mapping[str, str]] = {
    "proxy": f"{_IS_ENVOY} OR {_IS_LINKERD}",
    "service": first_set(f"if({_IS_ENVOY} OR {_IS_LINKERD}, a_canonical_service, '')", _KNOWN_SERVICE),
    "operation": first_set(
        "a_operation",
        cases(
            *((f"a_openinference_kind = {literal(kind)}", literal(word)) for kind, word in _OPENINFERENCE.items()),
            otherwise="''",
        ),
        f"if(match(a_ai_operation, {literal(_VERCEL)}), if(endsWith(a_ai_operation, 'doEmbed'), 'embeddings', 'chat'), '')",
    ),
    "status_code": _STATUS,
    "ends_at_headers": f"(scope IN {listed(sorted(HEADERS_ONLY))} AND kind = {CLIENT}) OR {_IS_LINKERD}",
    "complete_ns": f"multiIf(kind = {SERVER}, server_complete_ns, kind = {CLIENT}, client_complete_ns, NULL)",
}

_GRPC: Final = cases(
    *((f"upper(a_grpc_status) = '{name}'", f"toNullable({code})") for code, name in enumerate(GRPC_CODES)), otherwise="NULL"
)
_DIGITS: Final = r"(?:^|,)\s*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?:[;,]|\s*$)"
_THRESHOLD: Final = f"extract(trace_state, {literal(_DIGITS)})"
_REJECTED: Final = f"reinterpretAsUInt64(reverse(unhex(concat('00', rightPad({_THRESHOLD}, 14, '0')))))"
_SHOWN: Final = (
    "position(a_content_type, 'text/event-stream') > 0 OR "
    "endsWith(a_ai_operation, 'doStream') OR "
    "token_ns IS NOT NULL OR "
    "a_max_gap_s != '' OR "
    "a_first_token_s != '' OR "
    "a_first_token_ms != ''"
)
_ROUTE: Final = (
    "if(a_route != '' AND a_rpc_service != '' AND position(a_route, '/') = 0, concat(a_rpc_service, '/', a_route), a_route)"
)
_POD: Final = literal(r"^(?:sidecar|router)~[^~]*~([^~.]+)")

_MEASURED: Final[Mapping[str, str]] = {
    "headers_at": f"coalesce({_moment('a_first_byte_s')}, headers_ns, if(ends_at_headers, ended, NULL))",
    "token_at": f"coalesce({_moment('a_first_token_s')}, {_moment('a_first_token_ms', '1e6')}, token_ns)",
    "headers": "if(headers_at >= begin, headers_at, NULL)",
    "token": "if(token_at >= begin, token_at, NULL)",
    "asgi_event": "a_asgi_event",
    "finish": "if(ends_at_headers, NULL, ended)",
    "grpc_status": f"toInt8(coalesce({_integer('a_grpc_status', 'Int8', -128, 127)}, {_GRPC}))",
    "failed": f"if(proxy, a_error = 'true' AND status_code IS NULL AND NOT {_true('a_canceled')}, "
    "status = 2 OR a_error_type != '')",
    "failure": "a_error_type",
    "stated": "a_outcome",
    "canceled": _true("a_canceled"),
    "incomplete": "proxy AND headers_ns IS NOT NULL AND complete_ns IS NULL",
    "weight": f"if({_THRESHOLD} = '', NULL, {_WHOLE} / ({_WHOLE} - {_REJECTED}))",
    "streaming": f"multiIf({_true('a_streaming')}, toNullable(1), lower(a_streaming) IN ('false', '0'), 0, {_SHOWN}, 1, NULL)",
    "peer": "if(proxy, '', a_peer)",
    "route": f"if(match({_ROUTE}, '[?#]'), '', {_ROUTE})",
    "protocol": "if(match(a_protocol, '^[0-9]'), concat('HTTP/', a_protocol), a_protocol)",
    "pod": first_set(f"extract(a_pod, {_POD})", "a_pod"),
    "gateway": "startsWith(a_pod, 'router~')",
    "model": first_set("a_model", "a_ai_model"),
    "max_gap_s": _seconds("a_max_gap_s"),
    "open_gap_s": _seconds("a_open_gap_s"),
    "upstream_cluster": "a_upstream_cluster",
    "stated_caller": "a_stated_caller",
    **{
        name: f"a_{name}"
        for name in ("tenant", "provider", "method", "response_flags", "namespace", "zone", "cluster", "version")
    },
}
