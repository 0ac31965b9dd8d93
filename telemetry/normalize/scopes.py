"""Which instrumentations end their client span at the response headers: one table, by instrumentation scope.

Such a span says when headers came and nothing about the body: it gives `first_byte_s` and no `duration_s`. The conventions
allow it (HTTP client span duration). `requests` and `urllib3` end there only for streamed bodies, which the span does not tell,
so none of their ends is taken for the end of the call.
Source: opentelemetry-python-contrib, instrumentation packages; issue opentelemetry-python-contrib#2304.
"""

from typing import Final

HEADERS_ONLY: Final = frozenset(
    {
        "opentelemetry.instrumentation.httpx",
        "opentelemetry.instrumentation.aiohttp_client",
        "opentelemetry.instrumentation.aiohttp-client",
        "opentelemetry.instrumentation.requests",
        "opentelemetry.instrumentation.urllib3",
    }
)
