"""Attribute names of spans and resources, each in one place: ours, the conventions' current ones, and their old spellings.

A reader asks for the first name that is set (`first_of`), so that an old emitter and a new one give the same row.
Sources: OpenTelemetry semantic conventions 1.44 (HTTP, RPC, service, k8s), GenAI conventions 1.41.1, OpenInference,
OpenLLMetry, Envoy's `source/common/tracing/common_values.h`.
"""

from collections.abc import Mapping
from typing import Final

# What meshslo adds where no convention exists. Seconds are doubles.
TENANT: Final = "tenant.id"
ROUTE: Final = "meshslo.route"
FIRST_TOKEN_S: Final = "meshslo.stream.first_token_s"
MAX_GAP_S: Final = "meshslo.stream.max_gap_s"
OPEN_GAP_S: Final = "meshslo.stream.open_gap_s"
FIRST_BYTE_S: Final = "meshslo.first_byte_s"
CHUNKS: Final = "meshslo.stream.chunks"
OUTCOME: Final = "meshslo.outcome"
ATTEMPT: Final = "meshslo.attempt"
CALLER: Final = "meshslo.caller"
STREAMING: Final = "gen_ai.request.stream"
DOCUMENTS: Final = "meshslo.documents"

MODEL: Final = "gen_ai.request.model"
PROVIDER: Final = "gen_ai.provider.name"
OPERATION: Final = "gen_ai.operation.name"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
TOP_K: Final = "gen_ai.request.top_k"
DATA_SOURCE: Final = "gen_ai.data_source.id"

# Column of the call row -> attribute names that may hold it, the best first.
SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "tenant": (TENANT, "tenant", "x-tenant-id"),
    "model": (
        MODEL,
        "gen_ai.response.model",
        "llm.model_name",
        "embedding.model_name",
        "reranker.model_name",
        "llm.request.model",
        "model",
    ),
    "provider": (PROVIDER, "gen_ai.system", "llm.provider", "llm.system"),
    "operation": (OPERATION, "llm.request.type"),
    "route": (ROUTE, "http.route", "url.template", "rpc.method", "xds.route_name", "route_name"),
    "method": ("http.request.method", "http.method"),
    "protocol": ("http.protocol", "network.protocol.version", "http.flavor", "rpc.system.name", "rpc.system"),
    "status_code": ("http.response.status_code", "http.status_code"),
    "grpc_status": ("rpc.grpc.status_code", "grpc.status_code", "rpc.response.status_code", "rpc.status_code"),
    "error_type": ("error.type",),
    "response_flags": ("response_flags",),
    "outcome": (OUTCOME,),
    "first_byte_s": (FIRST_BYTE_S,),
    "first_token_s": (
        FIRST_TOKEN_S,
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.latency.time_to_first_token",
    ),
    "max_gap_s": (MAX_GAP_S,),
    "open_gap_s": (OPEN_GAP_S,),
    "chunks": (CHUNKS,),
    "streaming": (STREAMING, "stream", "gen_ai.is_streaming", "llm.is_streaming"),
    "input_tokens": (INPUT_TOKENS, "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "llm.usage.prompt_tokens"),
    "output_tokens": (
        OUTPUT_TOKENS,
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
    ),
    "peer": ("server.address", "service.peer.name", "peer.service", "net.peer.name", "upstream_cluster.name"),
    "caller_identity": ("source.principal", "source_principal", "peer.uri_san"),
    "callee_identity": ("destination.principal", "destination_principal"),
}

# Column of the call row -> resource attributes that may hold it.
RESOURCE_SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "service": ("service.name",),
    "namespace": ("k8s.namespace.name", "service.namespace", "istio.namespace"),
    "pod": ("k8s.pod.name", "service.instance.id", "node_id"),
    "zone": ("cloud.availability_zone", "zone"),
    "cluster": ("k8s.cluster.name", "istio.cluster_id"),
    "version": ("service.version", "istio.canonical_revision"),
}


def first_of(attributes: Mapping[str, object], column: str) -> object | None:
    """The value of the first spelling of `column` that is set, or None.

    >>> first_of({"http.status_code": "200"}, "status_code")
    '200'
    """
    return next((attributes[name] for name in SPELLINGS[column] if attributes.get(name) not in (None, "")), None)
