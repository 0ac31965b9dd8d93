"""MS220: prompts that do not fit into the buffer a retry needs."""

from collections.abc import Iterator
from typing import Final

import polars as pl

from meshslo.analysis.check.rule import Hit, Rule, Subject
from meshslo.analysis.recommend.words import count, share

BYTES_PER_TOKEN: Final = 4.0
"""About so many bytes are a token of English text; other languages need more."""

BUFFERS_KIB: Final = {"Linkerd": 64, "Envoy Gateway": 32}
"""What is kept of a request for a retry, unasked. Plain Envoy and Istio keep 1 MiB."""
DEFAULT_KIB: Final = 1024

SHARE: Final = 0.01


def _find(subject: Subject) -> Iterator[Hit]:
    if subject.observed is None:
        return
    for route in subject.deployed.routes:
        attempts = route.settings.get("retry_attempts")
        if attempts is None or not float(attempts.value) or not subject.hops_to(route.callee):
            continue
        kib = _buffer_kib(subject, attempts.source)
        calls, larger = _larger(subject, route.callee, kib * 1024 / BYTES_PER_TOKEN)
        if calls and larger / calls > SHARE:
            yield Hit(
                attempts.source,
                f"about {share(larger / calls)} of {count(calls)} prompts of {route.callee} are larger than the {kib} KiB "
                f"that are kept for a retry (at {BYTES_PER_TOKEN:g} bytes a token): they are never repeated",
                confirmed=True,
            )


def _buffer_kib(subject: Subject, source: str) -> int:
    file = source.partition(":")[0]
    groups = {manifest.group for manifest in subject.manifests if manifest.file == file}
    if "linkerd.io/" in source or groups & {"linkerd.io", "policy.linkerd.io"}:
        return BUFFERS_KIB["Linkerd"]
    return BUFFERS_KIB["Envoy Gateway"] if "gateway.envoyproxy.io" in groups else DEFAULT_KIB


def _larger(subject: Subject, callee: str, tokens: float) -> tuple[int, int]:
    """Calls whose prompt's length was seen, and those with more tokens."""
    if subject.observed is None:
        return 0, 0
    seen = pl.col("hop").is_in(subject.hops_to(callee)) & pl.col("input_tokens").is_not_null()
    counted = subject.observed.calls.filter(seen).select(pl.len(), (pl.col("input_tokens") > tokens).sum().alias("n")).collect()
    calls, larger = counted.row(0)
    return int(calls), int(larger)


RULE = Rule(
    code="MS220",
    name="prompt-exceeds-buffer",
    severity="warning",
    finds="Retries of a callee of whose prompts more than 1 % are larger than the buffer that retries need, judged from "
    "tokens at 4 bytes each. Needs a store.",
    why="A request that is larger than the buffer is not repeated, and nothing says so but a counter: retries hold for short "
    "prompts only.",
    instead="a buffer that fits the prompts (per_connection_buffer_limit_bytes, connection.bufferLimit), or no retries",
    evidence="envoyproxy/envoy#29386, envoyproxy/envoy#32464, projectcontour/contour#5869; linkerd2-proxy keeps 64 KiB.",
    find=_find,
    needs_calls=True,
)
