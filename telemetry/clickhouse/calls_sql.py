"""Rows of a trace complete each other, as SQL: `telemetry.normalize.resolve`; and the whole way from `otel_traces` to calls."""

import re
from typing import Final

from meshslo.telemetry.normalize.resolve import _DEEPEST, _OF_THE_CALL, _OF_THE_TRACE
from meshslo.telemetry.vocabulary import CENSORED, INGRESS, UNKNOWN

from .roles_sql import fronts, roles, traces
from .rows_sql import rows
from .spans_sql import spans
from .sql import Steps, each, first_set, listed, nearest, parents, tops

WORDS: Final = (
    "hop",
    "caller",
    "callee",
    "route",
    "method",
    "protocol",
    "model",
    "provider",
    "tenant",
    "operation",
    "namespace",
    "pod",
    "zone",
    "cluster",
    "version",
    "response_flags",
)
"""Columns of a call that a report may be told apart by."""
NEEDED: Final = ("route", "model", "tenant", "operation")
_ALWAYS: Final = ("provider", "hop", "caller", "callee", "response_flags", "operation")
FRONTS: Final = "{fronts:Array(String)}"


def calls(table: str, condition: str, words: tuple[str, ...]) -> Steps:
    """The calls among the spans of `table` that fulfil `condition`: times, phases, outcome, weight, vantage and `words`.

    Columns: trace, start_ns, duration_s, first_byte_s, first_token_s, max_gap_s, open_gap_s, outcome, vantage, streaming,
    weight, and `words` as text, '' where not set. Takes the parameter `fronts`, which `fronts_of` finds.
    """
    wanted = tuple(name for name in dict.fromkeys((*NEEDED, *words)) if name not in _ALWAYS)
    columns = {**roles(FRONTS, wanted), **rows(wanted), **resolved()}
    of_a_row = {"trace": "trace", **_MOMENTS, **{name: _ARRAYS.get(name, f"r_{name}") for name in words}}
    arrays = sorted({word for text in of_a_row.values() for word in re.findall(r"\w+", text) if word in columns})
    return traces(spans(table, condition), wanted).extended(columns).then(of_a_row, f"ARRAY JOIN {', '.join(arrays)}")


def fronts_of(table: str, condition: str) -> Steps:
    """The parameter `fronts` of `calls`: services whose proxies stand for themselves, in one row."""
    return fronts(traces(spans(table, condition), ()))


_ARRAYS: Final = {
    "route": "call_route",
    "model": "trace_model",
    "tenant": "trace_tenant",
    "streaming": "call_streaming",
    "outcome": f"word_{_DEEPEST}",
    "response_flags": f"flags_{_DEEPEST}",
}
"""Where the finished column is, if not in `r_<name>`."""


def _since(moment: str) -> str:
    return f"if(r_{moment} >= r_begin, (r_{moment} - r_begin) / 1e9, NULL)"


_MOMENTS: Final = {
    "start_ns": "r_begin",
    "duration_s": _since("finish"),
    "first_byte_s": _since("headers"),
    "first_token_s": _since("token"),
    **{
        name: _ARRAYS.get(name, f"r_{name}")
        for name in ("max_gap_s", "open_gap_s", "outcome", "vantage", "streaming", "weight")
    },
}


def resolved() -> dict[str, str]:
    """Caller, callee, hop, route, tenant, model and outcome of each row completed from its trace mates."""
    in_call = {f"call_{name}": _only_one(name) for name in _OF_THE_CALL}
    in_trace = {f"trace_{name}": _only_in_trace(name) for name in _OF_THE_TRACE}
    return {**_FOREST, **_CALLERS, **_SAME_CALL, **_CALLEES, **in_call, **in_trace, **_verdicts(), "r_hop": _HOP}


_CALLER, _CALLEE = (f"if({side} = '', '{UNKNOWN}', {side})" for side in "ab")
_HOP: Final = f"arrayMap((a, b) -> concat({_CALLER}, '>', {_CALLEE}), r_caller, r_callee)"


_FOREST: Final = {
    "r_inner": each("_r_vantage IN ('server', 'proxy_in')"),
    **parents("r_", "r_inner"),
    "r_client": each("_r_vantage = 'client'"),
    "r_server": each("_r_vantage = 'server'"),
    "r_proxy": each("_r_vantage IN ('proxy_in', 'proxy_out')"),
    "r_out": each("_r_vantage = 'proxy_out'"),
    "r_in": each("_r_vantage = 'proxy_in'"),
}
_GIVER: Final = "if(r_server[_r_giver], r_seen_callee[_r_giver], r_seen_caller[_r_giver])"
_ENTRY: Final = "_r_giver = 0 AND NOT _r_client AND NOT r_client[_r_top] AND r_parent_id[_r_top] = ''"
_CALLERS: Final = {
    "r_knows": each("_r_client OR _r_server OR (_r_proxy AND _r_seen_caller != '')"),
    **nearest("r_giver", "r_parent", "r_knows", "r_number"),
    **tops("r_top", "r_parent", "r_number"),
    "r_caller": each(first_set("_r_seen_caller", f"({_GIVER})", f"if({_ENTRY}, '{INGRESS}', '')")),
}
_CALLS_ON: Final = (
    "_r_out AND r_in[_r_parent] AND _r_caller != '' AND _r_caller = r_seen_callee[_r_parent] AND _r_caller != _r_seen_callee"
)
_SAME_CALL: Final = {
    "r_on": each(f"if(NOT _r_client AND (r_proxy[_r_parent] OR r_client[_r_parent]) AND NOT ({_CALLS_ON}), _r_parent, 0)"),
    **tops("r_head", "r_on", "r_number"),
}


def _answering(vantage: str) -> str:
    """The callee of the first row of this vantage in the same call that knows it."""
    return f"r_seen_callee[arrayFirstIndex((h, v, s) -> h = _r_head AND v AND s != '', r_head, {vantage}, r_seen_callee)]"


_ANSWER: Final = first_set(f"({_answering('r_server')})", _answering("r_in"))
_CALLEES: Final = {
    "r_answer": each(_ANSWER),
    "r_callee": each(
        f"if(_r_client OR _r_out, {first_set('_r_answer', '_r_seen_callee')}, {first_set('_r_seen_callee', '_r_answer')})"
    ),
}


def _only_one(name: str) -> str:
    """`name` of each row, and where it is not set the only value that its call has."""
    if name == "streaming":
        there = "arrayDistinct(arrayFilter((x, h) -> x IS NOT NULL AND h = _r_head, r_streaming, r_head))"
        return each(f"multiIf(_r_streaming IS NOT NULL, _r_streaming, length({there}) = 1, {there}[1], NULL)")
    there = f"arrayDistinct(arrayFilter((x, h) -> x != '' AND h = _r_head, r_{name}, r_head))"
    return each(f"multiIf(_r_{name} != '', _r_{name}, length({there}) = 1, {there}[1], '')")


def _only_in_trace(name: str) -> str:
    """`name` of each row, and where it is not set the only value that the trace has."""
    there = f"arrayDistinct(arrayFilter(x -> x != '', call_{name}))"
    return f"arrayMap(x -> multiIf(x != '', x, length({there}) = 1, {there}[1], ''), call_{name})"


def _verdicts() -> dict[str, str]:
    """A cut that a proxy made is the truth for those before it, who saw a reset or did not see the end."""
    # The child that began last, of equal ones the later row; 0 where there is none.
    children = "arrayFilter((n, p, x) -> x AND p = _r_number, r_number, r_parent, r_proxy)"
    behind = f"arrayLast(n -> 1, arraySort(n -> (r_begin[n], n), {children}))"
    columns = {"r_behind": each(f"if(_r_client OR _r_out, {behind}, 0)"), "word_0": "r_own_outcome", "flags_0": "r_flags"}
    for step in range(_DEEPEST):
        blind = f"multiIf(_word_{step} = 'error', 1, _word_{step} = 'ok', isNull(_r_finish), 0)"
        cut = f"{blind} AND word_{step}[_r_behind] IN {listed(sorted(CENSORED))}"
        columns[f"word_{step + 1}"] = each(f"if({cut}, word_{step}[_r_behind], _word_{step})")
        taken = first_set(f"flags_{step}[_r_behind]", f"_flags_{step}")
        columns[f"flags_{step + 1}"] = each(f"if({cut}, {taken}, _flags_{step})")
    return columns
