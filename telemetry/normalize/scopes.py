"""Which instrumentations end their client span at the response headers: one table, by instrumentation scope.

Such a span says when headers came and nothing about the body: it gives `first_byte_s` and no `duration_s`. The conventions
allow it (HTTP client span duration). `requests` and `urllib3` end there only for streamed bodies, which the span does not tell,
so none of their ends is taken for the end of the call.
Linkerd's proxies end all their spans there, and send none for a request that failed.
Sources: opentelemetry-python-contrib, instrumentation packages; issue opentelemetry-python-contrib#2304;
linkerd2-proxy, linkerd/trace-context and linkerd/app/src/trace_collector.rs.
"""

from typing import Final

import polars as pl

from .spans import CLIENT

HEADERS_ONLY: Final = frozenset(
    {
        "opentelemetry.instrumentation.httpx",
        "opentelemetry.instrumentation.aiohttp_client",
        "opentelemetry.instrumentation.aiohttp-client",
        "opentelemetry.instrumentation.requests",
        "opentelemetry.instrumentation.urllib3",
    }
)

LINKERD: Final = "linkerd-proxy"
"""The service name of every Linkerd proxy, whatever it stands beside."""


def ends_at_headers() -> pl.Expr:
    """Whether a span of the span table ended when the response headers came."""
    client = pl.col("scope").is_in(HEADERS_ONLY) & (pl.col("kind") == CLIENT)
    return (client | (pl.col("service") == LINKERD)).fill_null(False)
