"""Which spans make a row, and what a row takes from the spans around it, as SQL: `telemetry.normalize.nests` and `.calls`.

Arrays of a trace's spans go in; arrays named `r_...` with one item a row come out.
"""

from typing import Final

from meshslo.telemetry.normalize.columns import IDENTITY
from meshslo.telemetry.normalize.proxies import _INSIDE

from .endings_sql import judged, stated_or
from .roles_sql import OF_THE_REQUEST
from .sql import each, first_set, literal, nearest, tops

_PEELINGS: Final = 2
"""How often frames around calls are looked for again inside what is left; the local code goes on until there are none."""
_LAYERS: Final = 4
"""Spans around a call's innermost one that a row is completed from; the local code takes 16."""


def rows(wanted: tuple[str, ...]) -> dict[str, str]:
    """The rows of each trace: what is known of each from its own spans."""
    columns = {"frames_0": each("_kind < 0"), "any_call": each("_client OR _server OR _received OR _sent")}
    for step in range(_PEELINGS):
        columns |= _nests(step) | _composites(step)
    columns |= _nests(_PEELINGS) | _leaves(str(_PEELINGS))
    return {**columns, **_lineages(), **_places(), **_columns(wanted), **_SIDES}


def _nests(step: int) -> dict[str, str]:
    """Which span stands directly around each, in the same service and of the same side, and the outermost such."""
    k = str(step)
    pair = f"(_client AND client[_over_{k}]) OR (_server AND server[_over_{k}])"
    same = f"_over_{k} > 0 AND _service = service[_over_{k}]"
    return {
        f"stop_{k}": each(f"_any_call AND NOT _frames_{k}"),
        **nearest(f"over_{k}", "parent", f"stop_{k}"),
        f"above_{k}": each(f"if({same} AND ({pair}) AND NOT _frames_{k}, _over_{k}, 0)"),
        **tops(f"root_{k}", f"above_{k}", doublings=3),
    }


def _composites(step: int) -> dict[str, str]:
    """Roots of client nests whose innermost spans go to different peers, do different things, or overlap."""
    k = str(step)
    ours = "(x, l, r) -> l AND r = _number"
    members = f"leaf_{k}, root_{k}"
    begins, ends = (f"arrayFilter({ours}, {name}, {members})" for name in ("begin", "ended"))
    # Spans of a trace are in order of begin, so an earlier member has a smaller place.
    overlap = f"arrayExists((b, i) -> i > 1 AND b < arrayMax(arraySlice({ends}, 1, i - 1)), {begins}, arrayEnumerate({begins}))"
    differ = " OR ".join(f"length(arrayDistinct(arrayFilter({ours}, {name}, {members}))) > 1" for name in ("peer", "operation"))
    return {
        f"leaf_{k}": each(f"_client AND _above_{k} > 0 AND NOT has(above_{k}, _number)"),
        f"frames_{step + 1}": each(f"_frames_{k} OR (has(above_{k}, _number) AND ({differ} OR {overlap}))"),
    }


def _leaves(k: str) -> dict[str, str]:
    """Innermost spans that make a row, their place among the attempts of their nest, and the row numbers."""
    older = "arrayCount((i, r, b, n) -> i AND r = _root AND (b, n) <= (_begin, _number), inside, root, begin, number)"
    return {
        "frames": f"frames_{k}",
        "above": f"above_{k}",
        "root": f"root_{k}",
        "inside": each("(_client OR _server) AND NOT _frames AND NOT has(above, _number)"),
        "size": each("arrayCount((i, r) -> i AND r = _root, inside, root)"),
        "place": each(f"if(_server, 1, {older})"),
        "many": each("_inside AND _server AND _size > 1"),
        "sdk_rows": "arrayDistinct(arrayFilter(n -> n > 0, arrayMap((i, m, r, n) -> multiIf(m, r, i, n, 0), "
        "inside, many, root, number)))",
        "proxy_rows": "arrayFilter((n, a, b, d) -> (a OR b) AND NOT d, number, received, sent, dropped)",
    }


def _lineages() -> dict[str, str]:
    """For each row: its span, the spans around it from the outermost to itself, and whether it speaks for its whole nest."""
    layers = {"layer_1": "above"} | {
        f"layer_{step}": f"arrayMap(a -> above[a], layer_{step - 1})" for step in range(2, _LAYERS + 1)
    }
    around = ", ".join(f"layer_{step}[n]" for step in range(_LAYERS, 0, -1))
    return {
        **layers,
        "r_span": "arrayConcat(sdk_rows, proxy_rows)",
        "r_sdk": "arrayConcat(arrayMap(n -> 1, sdk_rows), arrayMap(n -> 0, proxy_rows))",
        "r_number": "arrayEnumerate(r_span)",
        "r_chain": f"arrayMap(n -> if(inside[n], arrayFilter(x -> x > 0, [{around}, n]), [n]), r_span)",
        "r_last": "arrayMap(n -> NOT inside[n] OR place[n] = size[n], r_span)",
        "r_keeper": "arrayMap((n, last) -> if(last, root[n], n), r_span, r_last)",
        # A span that ended at headers knows nothing of the body: its silence about a failure is no success.
        "r_judge": "arrayMap((n, c, last) -> if(last, arrayFirst(x -> x = n OR finish[x] IS NOT NULL, c), n), "
        "r_span, r_chain, r_last)",
    }


def _places() -> dict[str, str]:
    """For each row: the id of the call around it, and for callee-side spans the service right above."""
    return {
        "around_stop": each("_any_call AND NOT _dropped AND NOT _frames"),
        **nearest("outer_call", "parent", "around_stop"),
        **tops("summit", "parent"),
        "stands": each("if(has(sdk_rows, _number), r_keeper[indexOf(sdk_rows, _number)], _root)"),
        "inner_proxy": each("(_received OR _sent) AND NOT _outbound"),
        "passing": each("NOT _inner_proxy"),
        **nearest("beyond", "parent", "passing"),
        "crossing": each(
            "if((_server OR _inner_proxy) AND service[_beyond] != '' AND service[_beyond] != _service "
            "AND NOT (client[_beyond] OR outbound[_beyond]), service[_beyond], '')"
        ),
        "r_id": "arrayMap(n -> id[n], r_keeper)",
        "r_parent_id": "arrayMap(n -> if(outer_call[root[n]] > 0, id[stands[outer_call[root[n]]]], "
        "parent_id[summit[root[n]]]), r_keeper)",
    }


def _columns(wanted: tuple[str, ...]) -> dict[str, str]:
    """The columns of each row: the outer span's word counts where the row speaks for its nest."""
    own = {name: f"own_{name}" if name in OF_THE_REQUEST else name for name in (*wanted, "streaming")}
    texts = {name: own[name] for name in wanted} | {
        "provider": "provider",
        "operation": "operation",
        "peer": "peer",
        "stated_caller": "stated_caller",
        "flags": "flags",
        "stated": "stated",
    }
    values = {name: name for name in ("finish", "weight", "open_gap_s", "status_code", "grpc_status")}
    values |= {"headers": "own_headers", "token": "own_token", "max_gap_s": "own_gap_s"}
    return {
        "r_begin": "arrayMap((n, c, last) -> begin[if(last AND place[n] = 1, c[1], n)], r_span, r_chain, r_last)",
        **{f"r_{name}": _folded(array, "!= ''", whole=name in IDENTITY) for name, array in texts.items()},
        **{f"r_{name}": _folded(array, "IS NOT NULL", whole=False) for name, array in values.items()},
        "r_streaming": _folded(own["streaming"], "IS NOT NULL", whole=True),
        "r_failed": "arrayMap(n -> failed[n], r_judge)",
        "r_failure": "arrayMap(n -> failure[n], r_judge)",
    }


def _folded(array: str, is_set: str, *, whole: bool) -> str:
    """The outermost span's value that is set; of a row that does not speak for its nest the span's own, unless `whole`."""
    first = f"{array}[arrayFirst(x -> {array}[x] {is_set}, c)]"
    if whole:
        return f"arrayMap(c -> {first}, r_chain)"
    return f"arrayMap((n, c, last) -> if(last, {first}, {array}[n]), r_span, r_chain, r_last)"


def host_service(name: str) -> str:
    """The service that a host name means."""
    bare = f"replaceRegexpOne({name}, ':\\\\d+$', '')"
    return f"if(match({bare}, {literal(_INSIDE)}), extract({bare}, '^([^.]+)'), {bare})"


_ISTIO_CLUSTER: Final = literal(r"^(?:in|out)bound\|[^|]*\|[^|]*\|(.+)$")


def cluster_service(name: str) -> str:
    """The service that an Envoy cluster name means."""
    return host_service(first_set(f"(extract({name}, {_ISTIO_CLUSTER}))", f"if(position({name}, '|') = 0, {name}, '')"))


_JUDGED: Final = judged("_r_flags", "_r_status_code", "_r_grpc_status", "_r_failed", "_r_failure")
_SIDES: Final = {
    "cluster_service": each(cluster_service("_upstream_cluster")),
    "r_arrived": "arrayMap(n -> received[n] AND (NOT outbound[n] OR alone[n]), r_span)",
    "r_going_out": "arrayMap((n, arrived) -> outbound[n] AND NOT arrived, r_span, r_arrived)",
    "r_vantage": "arrayMap((n, sdk, arrived) -> multiIf(sdk, if(server[n], 'server', 'client'), "
    "arrived, 'proxy_in', 'proxy_out'), r_span, r_sdk, r_arrived)",
    "r_seen_caller": "arrayMap((n, sdk, out, stated) -> multiIf(sdk AND server[n], "
    + first_set("stated", "crossing[n]")
    + ", sdk OR out, service[n], crossing[n]), r_span, r_sdk, r_going_out, r_stated_caller)",
    "r_seen_callee": "arrayMap((n, sdk, out, peer, provider) -> multiIf(sdk AND server[n], service[n], sdk, "
    + first_set(f"({host_service('peer')})", "provider")
    + ", out, cluster_service[n], "
    + first_set("service[n]", "cluster_service[n]")
    + "), r_span, r_sdk, r_going_out, r_peer, r_provider)",
    "r_own_outcome": "arrayMap((n, sdk, word) -> if(sdk, word, proxy_outcome[n]), r_span, r_sdk, "
    + each(stated_or("_r_stated", _JUDGED))
    + ")",
}
