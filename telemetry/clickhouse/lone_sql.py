"""Each span taken by itself, as SQL: what a view on insert can know, which sees spans before their trace is whole.

The same meaning as normalising a trace of that one span: a client names its callee by host, a server its caller by baggage;
what only another span of the trace tells (whose proxy it is, a tenant inherited, a layer that shows a call again) is not known.
"""

from typing import Final

from meshslo.telemetry.normalize.roles import INFERENCE
from meshslo.telemetry.vocabulary import INGRESS, UNKNOWN

from .endings_sql import judged, stated_or
from .rows_sql import cluster_service, host_service
from .spans_sql import spans
from .sql import Steps, first_set, listed

_JUDGED: Final = judged("response_flags", "status_code", "grpc_status", "failed", "failure")
_ROLES: Final = {
    "server": "kind = 2 AND NOT proxy",
    "received": "kind = 2 AND proxy",
    "sent": "kind = 3 AND proxy",
    "client": f"NOT proxy AND (kind = 3 OR (kind < 2 AND operation IN {listed(INFERENCE)}))",
    "named_out": "startsWith(upstream_cluster, 'outbound|') OR startsWith(name, 'async ')",
    "egress": "sent AND NOT startsWith(name, 'router ')",
    "side": "(named_out OR egress OR (gateway AND sent)) AND NOT startsWith(upstream_cluster, 'inbound|')",
    "arrived": "received AND (NOT side OR gateway)",
    "going_out": "(received OR sent) AND side AND NOT arrived",
    "first_word": stated_or("stated", _JUDGED),
    "cut_unflagged": "received AND incomplete AND first_word = 'ok' AND ifNull(status_code BETWEEN 200 AND 299, 0)",
    "cluster_service": cluster_service("upstream_cluster"),
    "r_caller": first_set(
        "multiIf(server, stated_caller, client OR going_out, service, '')",
        f"if(NOT client AND parent_id = '', '{INGRESS}', '')",
    ),
    "r_callee": "multiIf(server, service, client, "
    + first_set(f"({host_service('peer')})", "provider")
    + ", going_out, cluster_service, "
    + first_set("service", "cluster_service")
    + ")",
}
_OF_A_CALL: Final = {
    "start_ns": "begin",
    "duration_s": "if(finish >= begin, (finish - begin) / 1e9, NULL)",
    "first_byte_s": "if(headers >= begin, (headers - begin) / 1e9, NULL)",
    "first_token_s": "if(token >= begin, (token - begin) / 1e9, NULL)",
    "max_gap_s": "max_gap_s",
    "open_gap_s": "open_gap_s",
    "streaming": "streaming",
    "weight": "weight",
    "vantage": "multiIf(server, 'server', client, 'client', arrived, 'proxy_in', 'proxy_out')",
    "outcome": "multiIf(sent AND canceled AND first_word = 'ok', 'cancelled', cut_unflagged, 'timeout', first_word)",
    "hop": "concat(" + ", '>', ".join(f"if({side} = '', '{UNKNOWN}', {side})" for side in ("r_caller", "r_callee")) + ")",
    "caller": "r_caller",
    "callee": "r_callee",
}


def lone_calls(table: str, words: tuple[str, ...]) -> Steps:
    """The calls that the spans of `table` show each by itself: the columns of `calls_sql.calls`, with `words`."""
    known = spans(table, "1").extended(_ROLES)
    named = {**_OF_A_CALL, **{word: word for word in words if word not in _OF_A_CALL}}
    wanted = {name: text for name, text in named.items() if name not in ("caller", "callee", "hop") or name in words}
    return known.then(wanted, "WHERE server OR client OR received OR sent")
