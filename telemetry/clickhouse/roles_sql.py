"""What each span of a trace is, as SQL over arrays of one trace: `telemetry.normalize.roles` and `.proxies` again.

A trace is a row here; each property of its spans is an array, each span a number from 1, and 0 is none.
"""

from typing import Final

from meshslo.telemetry.normalize.proxies import _REQUEST
from meshslo.telemetry.normalize.roles import FRAMING, INFERENCE
from meshslo.telemetry.vocabulary import CENSORED

from .endings_sql import judged, stated_or
from .sql import Steps, each, first_set, listed, marked, nearest, parents, where

COLLECTED: Final = (
    "id",
    "parent_id",
    "kind",
    "proxy",
    "service",
    "operation",
    "peer",
    "name",
    "begin",
    "ended",
    "upstream_cluster",
    "gateway",
    "status_code",
    "grpc_status",
    "failed",
    "failure",
    "stated",
    "canceled",
    "incomplete",
    "response_flags",
    "headers",
    "token",
    "finish",
    "weight",
    "streaming",
    "stated_caller",
    "provider",
    "max_gap_s",
    "open_gap_s",
    "asgi_event",
)
"""Columns of a span that are always needed; `wanted` adds what a report asks for."""
OF_THE_REQUEST: Final = _REQUEST


def traces(spans: Steps, wanted: tuple[str, ...]) -> Steps:
    """One row a trace: its spans, each once, as arrays in order of begin."""
    names = (*COLLECTED, *wanted)
    order = f"(item.{names.index('begin') + 1}, item.3, item.1)"
    once = "arrayFilter((item, copy) -> copy = 1, g, arrayEnumerateUniq(tupleElement(g, 1), tupleElement(g, 3)))"
    columns = {name: f"tupleElement(s, {place})" for place, name in enumerate(names, 1)}
    return (
        spans.then({"trace": "trace", "g": f"groupArray(({', '.join(names)}))"}, "GROUP BY trace")
        .then({"trace": "trace", "s": f"arraySort(item -> {order}, {once})"})
        .then({"trace": "trace", **columns, "number": "arrayEnumerate(s)"})
    )


def roles(fronts: str, wanted: tuple[str, ...]) -> dict[str, str]:
    """The role of each span; `fronts` is an array of services whose proxies stand for themselves."""
    reaching = {"reaching": each(f"_service != '' AND has({fronts}, _service)")}
    return {**_FOREST, **_clients(), **_SIDES, **reaching, **_OUTBOUND, **_fates(wanted)}


def fronts(inner: Steps) -> Steps:
    """The services whose proxies' attempts reached another service, over all traces: one array."""
    callee = "_kind = 2 AND _service != '' AND _service != service[_call] AND reach[_call]"
    names = inner.extended({**_FOREST, **_clients(), **_SIDES, "passed": where("call", callee)})
    found = "groupUniqArrayArray(arrayMap(n -> service[n], passed))"
    return names.then({"fronts": f"arraySort(arrayFilter(s -> s != '', {found}))"})


_FOREST: Final = {
    "is_callee": each("_kind = 2"),
    **parents("", "is_callee"),
    "server": each("_kind = 2 AND NOT _proxy"),
    "received": each("_kind = 2 AND _proxy"),
    "sent": each("_kind = 3 AND _proxy"),
}


def _clients() -> dict[str, str]:
    inference, framing = listed(INFERENCE), listed(FRAMING)
    return {
        "sdk": each(f"NOT _proxy AND (_kind = 3 OR (_kind < 2 AND _operation IN {inference}))"),
        "sided": each("_sdk OR _is_callee OR _sent"),
        **nearest("around", "parent", "sided"),
        "framed": marked(where("around", "_sdk")),
        "is_frame": each(f"_sdk AND _framed AND _operation IN {framing}"),
        "client": each("_sdk AND NOT _is_frame"),
        "sided_calls": each("_sided AND NOT _is_frame"),
        **nearest("call", "parent", "sided_calls"),
    }


_SIDES: Final = {
    "same": each("_call > 0 AND _service = service[_call]"),
    "attempted": each("_sent AND _same AND received[_call]"),
    "serves": each("_received AND _same AND client[_call]"),
    "plain": each(r"NOT match(_upstream_cluster, '^(in|out)bound\\|')"),
    "reach": each("_attempted AND _plain AND NOT serves[_call]"),
}

_OUTBOUND: Final = {
    "alone": each("(_received OR _sent) AND (_gateway OR (_plain AND NOT _serves AND _reaching))"),
    "egress": each("_sent AND NOT _attempted AND NOT startsWith(_name, 'router ')"),
    "served": each("_serves OR (_sent AND _same AND client[_call])"),
    "named_out": each("startsWith(_upstream_cluster, 'outbound|') OR startsWith(_name, 'async ')"),
    "side": each("(_named_out OR _served OR _egress OR (_alone AND _sent)) AND NOT startsWith(_upstream_cluster, 'inbound|')"),
    "outbound": each("(_received OR _sent) AND (_side OR (_attempted AND side[_call]))"),
}


def _sent(event: str) -> str:
    """When the ASGI server sent messages of this kind for a server's span."""
    found = "arrayFilter((b, c, e) -> c = _number AND e = '{}', begin, call, asgi_event)"
    return f"if(_server AND has(asgi_event, '{event}'), {found.format(event)}, [])"


# As `telemetry.normalize.asgi_chunks`: spans are in order of begin, the last body message ends the stream and is empty.
_CHUNKS: Final = {
    "starts": each(_sent("http.response.start")),
    "bodies": each(_sent("http.response.body")),
    "filled": each("arraySlice(_bodies, 1, greatest(length(_bodies) - 1, 1))"),
    "own_headers": each("coalesce(_headers, if(empty(_starts), NULL, _starts[1]))"),
    "own_token": each("coalesce(_token, if(empty(_bodies), NULL, _bodies[1]))"),
    "own_gap_s": each(
        "coalesce(_max_gap_s, if(length(_filled) < 2, NULL, arrayMax(arrayPopFront(arrayDifference(_filled))) / 1e9))"
    ),
}


def _fates(wanted: tuple[str, ...]) -> dict[str, str]:
    """What attempts take from their request, how each span ended, and which spans show a call a second time."""
    texts = [name for name in wanted if name in OF_THE_REQUEST]
    censored = listed(sorted(CENSORED))
    return {
        "tried": each("_sent AND received[_call]"),
        "request": each("if(_tried, _call, 0)"),
        "last_try": each("NOT _tried OR _begin = arrayMax(arrayMap((r, b) -> if(r = _request, b, 0), request, begin))"),
        **_CHUNKS,
        **{f"own_{name}": each(first_set(f"_{name}", f"{name}[_request]")) for name in texts},
        "own_streaming": each("coalesce(_streaming, streaming[_request], if(length(_bodies) > 2, toNullable(1), NULL))"),
        "flags": each(
            "if(_tried AND _last_try AND _canceled AND _response_flags = '', response_flags[_request], _response_flags)"
        ),
        "first_word": each(stated_or("_stated", judged("_flags", "_status_code", "_grpc_status", "_failed", "_failure"))),
        "of_request": each(
            "if(_received AND _incomplete AND _first_word = 'ok' AND ifNull(_status_code BETWEEN 200 AND 299, 0), "
            "'timeout', _first_word)"
        ),
        "fate": each(
            f"multiIf(_tried AND NOT _last_try, 'error', of_request[_request] IN {censored}, of_request[_request], 'cancelled')"
        ),
        "proxy_outcome": each("if(_sent AND _canceled AND _first_word = 'ok', _fate, _of_request)"),
        "handed": marked(where("call", "_tried")),
        "fed": each("_received AND NOT _outbound AND sent[_call]"),
        "dropped": each("(_received AND _outbound AND NOT _alone AND _handed) OR (_tried AND NOT _outbound AND fed[_call])"),
    }
