"""What each span is: an SDK's client or server side of a call, a proxy's receiving or sending side, or no call at all.

Proxies are Envoy's and Linkerd's. One that stands before the callee (its service is the callee's) received the call; one at
the caller's side (Istio's `outbound|...` clusters, or the service of the SDK span it serves) only sends it on; one that is a
service of its own (an ingress gateway, an edge proxy) does both.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from .graph import Flags, Rows, flagged, marked, nearest, parents, take
from .scopes import LINKERD, ends_at_headers
from .spans import CLIENT, SERVER, once

# Operations that are work in themselves; around other calls they are a frame, not a call (GenAI conventions 1.41, spans).
FRAMING: Final = ("invoke_agent", "create_agent", "execute_tool", "invoke_workflow", "plan")
# In-process inference is a call of its own though its span is INTERNAL.
INFERENCE: Final = ("chat", "text_completion", "completion", "generate_content", "embeddings", "embedding", "rerank")
_OPENINFERENCE: Final = {"LLM": "chat", "EMBEDDING": "embeddings", "RERANKER": "rerank", "RETRIEVER": "retrieval"}
_VERCEL: Final = r"\.do(Generate|Stream|Embed)$"


@dataclass(frozen=True)
class Roles:
    """The spans of a frame (deduplicated, with `service` and `operation` settled) and what each one is, by row."""

    spans: pl.DataFrame
    parent: Rows
    call: Rows
    """Row of the nearest ancestor that is a call's span; -1 where there is none."""
    client: Flags
    server: Flags
    received: Flags
    """A proxy's span of a request that came to it."""
    sent: Flags
    """A proxy's span of one attempt that it sent on."""
    outbound: Flags
    """A proxy's span at the caller's side, or of a proxy that is a service of its own: its service is the caller."""
    alone: Flags
    """A proxy's span whose proxy is a service of its own."""

    @property
    def any_call(self) -> Flags:
        """Spans that are one side of a call."""
        return self.client | self.server | self.received | self.sent


def assign(spans: pl.DataFrame) -> Roles:
    """The roles of the spans of a span table; a span that arrived twice counts once."""
    spans = _settled(once(spans))
    kind, proxy = spans["kind"].to_numpy(), spans["proxy"].to_numpy()
    parent = parents(spans, inner=kind == SERVER)
    client, call = _sdk_clients(spans, parent, kind, proxy)
    server, received, sent = ~proxy & (kind == SERVER), proxy & (kind == SERVER), proxy & (kind == CLIENT)
    outbound, alone = _Proxies(spans, call, received, sent, client).sides()
    return Roles(spans, parent, call, client, server, received, sent, outbound, alone)


def _settled(spans: pl.DataFrame) -> pl.DataFrame:
    """With `proxy`, and `service` and `operation` as one name each."""
    envoy = (pl.col("component") == "proxy") | (pl.col("scope") == "envoy")
    proxy = (envoy | (pl.col("service") == LINKERD)).fill_null(False)
    named = ~pl.col("service").str.starts_with("unknown_service") & (pl.col("service") != LINKERD)
    service = pl.when(named).then("service")
    vercel = (
        pl.when(pl.col("ai_operation").str.contains(_VERCEL))
        .then(pl.when(pl.col("ai_operation").str.ends_with("doEmbed")).then(pl.lit("embeddings")).otherwise(pl.lit("chat")))
        .otherwise(None)
    )
    status = number("status_code", pl.Int16())
    operation = pl.coalesce(
        "operation", pl.col("openinference_kind").replace_strict(_OPENINFERENCE, default=None, return_dtype=pl.String), vercel
    )
    return spans.with_columns(
        proxy=proxy,
        ends_at_headers=ends_at_headers(),
        service=pl.when(proxy).then(pl.coalesce("canonical_service", service)).otherwise(service),
        operation=operation,
        status_code=pl.when(status.is_between(1, 999)).then(status),  # Envoy writes 0 for "none"
    )


def number(column: str, kind: pl.DataType) -> pl.Expr:
    """What `column` says (text, or read already) as a number of `kind`; null where it is none or does not fit."""
    value = pl.col(column).cast(pl.Float64, strict=False)
    return pl.when(value.is_finite()).then(value).cast(kind, strict=False)


def _sdk_clients(spans: pl.DataFrame, parent: Rows, kind: Flags, proxy: Flags) -> tuple[Flags, Rows]:
    """Client spans of SDKs, and the call above each span; an agent's or tool's span around other calls is none itself."""
    operation = spans["operation"]
    inference = operation.is_in(INFERENCE).fill_null(False).to_numpy()
    framing = operation.is_in(FRAMING).fill_null(False).to_numpy()
    client = ~proxy & ((kind == CLIENT) | ((kind < SERVER) & inference))
    sided = client | (kind == SERVER) | (proxy & (kind == CLIENT))
    call = nearest(parent, sided)
    frames = framing & client & marked(call[client], len(call))
    return client & ~frames, nearest(parent, sided & ~frames)


@dataclass(frozen=True)
class _Proxies:
    """Works out at which side of a call a proxy's spans stand."""

    spans: pl.DataFrame
    call: Rows
    received: Flags
    sent: Flags
    client: Flags

    def sides(self) -> tuple[Flags, Flags]:
        """(outbound, alone) as `Roles` has them."""
        proxied = self.received | self.sent
        if not proxied.any():
            return proxied, proxied
        same = self._same_service_above()
        attempts = self.sent & flagged(self.received, self.call) & same
        serves = self.received & flagged(self.client, self.call) & same
        plain = ~self._cluster(r"^(in|out)bound\|")
        alone = self._gateways() | (plain & ~serves & self._reach_others(attempts & plain & ~flagged(serves, self.call)))
        egress = self.sent & ~attempts & ~self._named(r"^router ")
        served = serves | (self.sent & flagged(self.client, self.call) & same)
        side = self._cluster(r"^outbound\|") | served | egress | self._named(r"^async ") | (alone & self.sent)
        side = side & ~self._cluster(r"^inbound\|")
        return proxied & (side | (attempts & flagged(side, self.call))), proxied & alone

    def _gateways(self) -> Flags:
        """Istio's gateways: their node id begins with `router~`, a sidecar's with `sidecar~`."""
        return self._match("pod", r"^router~")

    def _reach_others(self, attempts: Flags) -> Flags:
        """Spans of the services whose `attempts` reached a span of another service: such a proxy stands for itself."""
        service = self.spans["service"]
        other = (service.ne_missing(take(service, self.call)) & service.is_not_null()).to_numpy()
        callees = (self.received | (self.spans["kind"].to_numpy() == SERVER)) & other & flagged(attempts, self.call)
        names = take(service, self.call[callees]).drop_nulls().unique()
        return service.is_in(names.implode()).fill_null(False).to_numpy()

    def _same_service_above(self) -> Flags:
        service = self.spans["service"]
        return service.eq_missing(take(service, self.call)).to_numpy() & (self.call >= 0)

    def _cluster(self, pattern: str) -> Flags:
        return self._match("upstream_cluster", pattern)

    def _named(self, pattern: str) -> Flags:
        """Envoy names the spans it makes of its own accord: `router CLUSTER egress`, `async CLUSTER egress`."""
        return self._match("name", pattern)

    def _match(self, column: str, pattern: str) -> Flags:
        return self.spans[column].str.contains(pattern).fill_null(False).to_numpy()
