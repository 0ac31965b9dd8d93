"""Transports that wrap a client's own and observe what goes through them, for httpx and for its successor httpx2."""

from collections.abc import AsyncIterator, Iterator
from functools import cache
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from opentelemetry.context import (
    _SUPPRESS_HTTP_INSTRUMENTATION_KEY,  # the API's one switch for this, used by all contrib instrumentations
    attach,
    detach,
    set_value,
)

from .call import Call
from .names import ROUTE
from .outgoing import TEMPLATE, Outgoing, Target
from .stream import ObservedAsyncStream, ObservedStream

if TYPE_CHECKING:
    import httpx

ATTEMPT_EXTENSION: Final = "meshslo.attempt"
ROUTE_EXTENSION: Final = "meshslo.route"
OPENAI_RETRIES: Final = "x-stainless-retry-count"
"""Header in which openai's and anthropic's clients count their retries from 0."""

LIBRARIES: Final = ("httpx", "httpx2")


def observe_client(client: Any, outgoing: Outgoing) -> None:
    """Put each transport of `client` under observation; those that are already, stay as they are.

    TypeError where it is no client of httpx or httpx2.
    """
    # There is no public way to a client's transports; OpenTelemetry's own instrumentation goes the same.
    kind = _transport_class(*_library_of(client))
    client._transport = _observed(kind, client._transport, outgoing)  # noqa: SLF001
    for pattern, mounted in client._mounts.items():  # noqa: SLF001
        client._mounts[pattern] = mounted and _observed(kind, mounted, outgoing)  # noqa: SLF001


def _library_of(client: object) -> tuple[str, bool]:
    """The library that `client` is of, and whether it is an async one."""
    for kind in type(client).__mro__:
        library = kind.__module__.partition(".")[0]
        if library in LIBRARIES and kind.__name__ in ("Client", "AsyncClient"):
            return library, kind.__name__ == "AsyncClient"
    raise TypeError(f"{type(client).__name__} is no client of {' or '.join(LIBRARIES)}; pass a Client or AsyncClient")


@cache
def _transport_class(library: str, asynchronous: bool) -> type:
    """Our transport as a subclass of the library's, as its clients insist."""
    module = import_module(library)
    if asynchronous:
        body: type = type("AsyncBody", (AsyncBody, module.AsyncByteStream), {})
        return type("AsyncTransport", (AsyncTransport, module.AsyncBaseTransport), {"body": body})
    body = type("Body", (Body, module.SyncByteStream), {})
    return type("Transport", (Transport, module.BaseTransport), {"body": body})


def _observed(kind: type, transport: Any, outgoing: Outgoing) -> Any:
    return transport if isinstance(transport, AsyncTransport | Transport) else kind(transport, outgoing)


class AsyncBody:
    """A response body that tells its call what comes and how it ends."""

    def __init__(self, stream: Any, call: Call) -> None:
        self._observed: ObservedAsyncStream[bytes] = ObservedAsyncStream(stream, call)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._observed

    async def aclose(self) -> None:
        """Give the rest of the body up."""
        await self._observed.aclose()


class Body:
    """The same for a sync client."""

    def __init__(self, stream: Any, call: Call) -> None:
        self._observed: ObservedStream[bytes] = ObservedStream(stream, call)

    def __iter__(self) -> Iterator[bytes]:
        return self._observed

    def close(self) -> None:
        """Give the rest of the body up."""
        self._observed.close()


class AsyncTransport:
    """Observes each request of an async client."""

    body: type[AsyncBody]

    def __init__(self, inner: Any, outgoing: Outgoing) -> None:
        self._inner = inner
        self._outgoing = outgoing

    async def handle_async_request(self, request: "httpx.Request") -> "httpx.Response":
        """Send `request`; its call ends with the response's body."""
        call = self._outgoing.start(_target(request), request.headers)
        # Other instrumentations of the same client would count the call a second time.
        token = attach(set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, True))
        try:
            response: httpx.Response = await self._inner.handle_async_request(request)
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            detach(token)
        if not _headers(call, response):
            response.stream = self.body(response.stream, call)  # type: ignore[assignment] # is one, by _transport_class
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


class Transport:
    """Observes each request of a sync client."""

    body: type[Body]

    def __init__(self, inner: Any, outgoing: Outgoing) -> None:
        self._inner = inner
        self._outgoing = outgoing

    def handle_request(self, request: "httpx.Request") -> "httpx.Response":
        """Send `request`; its call ends with the response's body."""
        call = self._outgoing.start(_target(request), request.headers)
        token = attach(set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, True))
        try:
            response: httpx.Response = self._inner.handle_request(request)
        except BaseException as error:
            call.fail(error)
            raise
        finally:
            detach(token)
        if not _headers(call, response):
            response.stream = self.body(response.stream, call)  # type: ignore[assignment] # is one, by _transport_class
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


def _target(request: "httpx.Request") -> Target:
    route = request.extensions.get(ROUTE_EXTENSION)
    return Target(
        method=request.method,
        host=request.url.host,
        port=request.url.port or {"http": 80, "https": 443}.get(request.url.scheme),
        attempt=_attempt(request),
        attributes={TEMPLATE: str(route), ROUTE: str(route)} if route else None,
    )


def _attempt(request: "httpx.Request") -> int | None:
    stated = request.extensions.get(ATTEMPT_EXTENSION)
    if isinstance(stated, int):
        return stated
    retries = request.headers.get(OPENAI_RETRIES, "")
    return int(retries) + 1 if retries.isdecimal() else None


def _headers(call: Call, response: "httpx.Response") -> bool:
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
