"""Client side for httpx (and httpx2): `instrument_httpx(client)` measures each attempt to the last byte of its response."""

from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry import trace

from .outgoing import ClientSettings, Outgoing

if TYPE_CHECKING:
    import httpx

    # httpx2's clients are accepted too; it need not be installed for our types.
    Client = TypeVar("Client", bound=httpx.AsyncClient | httpx.Client | Any)
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
    from .httpx_transport import observe_client

    observe_client(client, Outgoing(settings or ClientSettings(), tracer_provider))
    return client
