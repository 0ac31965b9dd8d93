"""Client side for httpx: `instrument_httpx(client)` measures each attempt to the last byte of its response."""

from typing import TYPE_CHECKING, TypeVar

from opentelemetry import trace

from .outgoing import ClientSettings, Outgoing

if TYPE_CHECKING:
    import httpx

    Client = TypeVar("Client", httpx.AsyncClient, httpx.Client)
else:
    Client = TypeVar("Client")


def instrument_httpx(
    client: Client,
    settings: ClientSettings | None = None,
    *,
    tracer_provider: trace.TracerProvider | None = None,
) -> Client:
    """`client` itself, from now on measured: one CLIENT span an attempt, ended when its response body ends.

    The span says how: whole, broken off by the callee, by which timer, or given up by us. Redirects and retries are attempts of
    their own; state which one by `extensions={"meshslo.attempt": 2}` (openai's retries are known by their header), and the
    route template by `extensions={"meshslo.route": "/v1/chat"}`. Instrumenting twice changes nothing.
    """
    from .httpx_transport import observed

    outgoing = Outgoing(settings or ClientSettings(), tracer_provider)
    # httpx has no public way to a client's transport; OpenTelemetry's own instrumentation goes the same.
    client._transport = observed(client._transport, outgoing)  # noqa: SLF001
    client._mounts = {  # noqa: SLF001
        pattern: None if transport is None else observed(transport, outgoing)
        for pattern, transport in client._mounts.items()  # noqa: SLF001
    }
    return client
