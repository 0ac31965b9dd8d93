"""Transports that wrap a client's own and observe what goes through them. Needs httpx; only `instrument_httpx` imports it."""

from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Final, Self

import httpx
from opentelemetry.context import (
    _SUPPRESS_HTTP_INSTRUMENTATION_KEY,  # the API's one switch for this, used by all contrib instrumentations
    attach,
    detach,
    set_value,
)

from .call import Call
from .names import ROUTE
from .outgoing import Outgoing, Target
from .stream import ObservedAsyncStream, ObservedStream

ATTEMPT_EXTENSION: Final = "meshslo.attempt"
ROUTE_EXTENSION: Final = "meshslo.route"
OPENAI_RETRIES: Final = "x-stainless-retry-count"
"""Header in which openai's and anthropic's clients count their retries from 0."""


def observe_client(client: httpx.AsyncClient | httpx.Client, outgoing: Outgoing) -> None:
    """Put each transport of `client` under observation; those that are already, stay as they are."""
    # httpx has no public way to a client's transports; OpenTelemetry's own instrumentation goes the same.
    if isinstance(client, httpx.AsyncClient):
        client._transport = _observed_async(client._transport, outgoing)  # noqa: SLF001
        for pattern, mounted in client._mounts.items():  # noqa: SLF001
            client._mounts[pattern] = mounted and _observed_async(mounted, outgoing)  # noqa: SLF001
        return
    client._transport = _observed(client._transport, outgoing)  # noqa: SLF001
    for pattern, transport in client._mounts.items():  # noqa: SLF001
        client._mounts[pattern] = transport and _observed(transport, outgoing)  # noqa: SLF001


def _observed_async(transport: httpx.AsyncBaseTransport, outgoing: Outgoing) -> httpx.AsyncBaseTransport:
    return transport if isinstance(transport, ObservedAsyncTransport) else ObservedAsyncTransport(transport, outgoing)


def _observed(transport: httpx.BaseTransport, outgoing: Outgoing) -> httpx.BaseTransport:
    return transport if isinstance(transport, ObservedTransport) else ObservedTransport(transport, outgoing)


class ObservedAsyncTransport(httpx.AsyncBaseTransport):
    """Observes each request of an async client."""

    def __init__(self, inner: httpx.AsyncBaseTransport, outgoing: Outgoing) -> None:
        self._inner = inner
        self._outgoing = outgoing

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; its call ends with the response's body."""
        call = self._outgoing.start(_target(request), request.headers)
        # Other instrumentations of the same client would count the call a second time.
        token = attach(set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, True))
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            detach(token)
        if not _headers(call, response):
            assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - what an async transport returns
            response.stream = _AsyncBody(response.stream, call)
        return response

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(exc_type, exc_value, traceback)

    async def aclose(self) -> None:
        """Close the wrapped transport."""
        await self._inner.aclose()


class ObservedTransport(httpx.BaseTransport):
    """Observes each request of a sync client."""

    def __init__(self, inner: httpx.BaseTransport, outgoing: Outgoing) -> None:
        self._inner = inner
        self._outgoing = outgoing

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; its call ends with the response's body."""
        call = self._outgoing.start(_target(request), request.headers)
        token = attach(set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, True))
        try:
            response = self._inner.handle_request(request)
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            detach(token)
        if not _headers(call, response):
            assert isinstance(response.stream, httpx.SyncByteStream)  # noqa: S101 - what a sync transport returns
            response.stream = _Body(response.stream, call)
        return response

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._inner.__exit__(exc_type, exc_value, traceback)

    def close(self) -> None:
        """Close the wrapped transport."""
        self._inner.close()


class _AsyncBody(httpx.AsyncByteStream):
    """A response body that tells its call what comes and how it ends."""

    def __init__(self, stream: httpx.AsyncByteStream, call: Call) -> None:
        self._observed = ObservedAsyncStream(stream, call)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._observed

    async def aclose(self) -> None:
        await self._observed.aclose()


class _Body(httpx.SyncByteStream):
    """The same for a sync client."""

    def __init__(self, stream: httpx.SyncByteStream, call: Call) -> None:
        self._observed = ObservedStream(stream, call)

    def __iter__(self) -> Iterator[bytes]:
        return self._observed

    def close(self) -> None:
        self._observed.close()


def _target(request: httpx.Request) -> Target:
    route = request.extensions.get(ROUTE_EXTENSION)
    return Target(
        method=request.method,
        host=request.url.host,
        port=request.url.port or {"http": 80, "https": 443}.get(request.url.scheme),
        attempt=_attempt(request),
        attributes={"url.template": str(route), ROUTE: str(route)} if route else None,
    )


def _attempt(request: httpx.Request) -> int | None:
    stated = request.extensions.get(ATTEMPT_EXTENSION)
    if isinstance(stated, int):
        return stated
    retries = request.headers.get(OPENAI_RETRIES, "")
    return int(retries) + 1 if retries.isdecimal() else None


def _headers(call: Call, response: httpx.Response) -> bool:
    """Tell `call` the response's headers; True where the body is there already (a mocked transport) and the call over."""
    headers = response.headers
    call.headers(
        response.status_code,
        content_type=headers.get("content-type", ""),
        has_length="content-length" in headers,
    )
    version = response.extensions.get("http_version")
    if isinstance(version, bytes):
        call.span.set_attribute("network.protocol.version", version.decode("ascii", "replace").removeprefix("HTTP/"))
    if not response.is_closed:
        return False
    if response.content:
        call.chunk(response.content)
    call.complete()
    return True
