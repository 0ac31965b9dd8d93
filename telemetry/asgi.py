"""Server side: ASGI middleware that times each request to the last byte of its body and says how it truly ended."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from .baggage import without_caller
from .call import Call, as_current, serving
from .endings import LEAVING, Ending, ending_of_exception, ending_of_status
from .incoming import Incoming, ServerSettings, attempt_in
from .lifespan import Message, Send, exporting_last
from .routes import route_template

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
"""Methods that may be attribute values; others become `_OTHER`, so that no caller invents labels."""

INNER_TELEMETRY: Final = {"fastapi.telemetry": None, "starlette.opentelemetry": True}
"""What FastAPI and Starlette read in the scope as: this request is observed already, start no span of your own."""

MAX_WRAPPERS: Final = 8
"""How many layers of middleware are looked through for the server."""

SERVED: Final = "meshslo.call"
"""Key of the scope that holds the call: an application mounted in another is observed once."""


BODY: Final = frozenset({"http.response.body", "http.response.pathsend", "http.response.zerocopysend"})
"""Messages that carry the body; the one without `more_body` ends it."""


class MeshsloMiddleware:
    """Pure ASGI middleware: one SERVER span a request, ended with the body, none a chunk.

    Below another instrumentation's SERVER span (FastAPI's own, opentelemetry-instrumentation-asgi) it makes none of its own
    but writes what it sees to that one. Around an application that has its own telemetry it takes that one's place; add it with
    `app.add_middleware` to keep FastAPI's metrics and logs.
    """

    def __init__(
        self,
        app: App,
        settings: ServerSettings | None = None,
        *,
        tracer_provider: trace.TracerProvider | None = None,
    ) -> None:
        self.app = app
        self._incoming = Incoming(settings or ServerSettings(), tracer_provider)
        self._provider = tracer_provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request under observation; anything else passes through, but at the application's end spans are sent."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, exporting_last(send, self._provider))
            return
        if scope["type"] != "http" or SERVED in scope or self._incoming.skips(scope["path"]):
            await self.app(scope, receive, send)
            return
        headers = _headers(scope["headers"])
        context = self._incoming.context(headers)
        call = self._call(scope, context, headers)
        scope[SERVED] = call
        token = attach(as_current(call, without_caller(context)))
        try:
            await _Exchange(call, scope, receive, send).run(self.app)
        finally:
            detach(token)

    def _call(self, scope: Scope, context: Context, headers: Mapping[str, str]) -> Call:
        attributes = _request_attributes(scope, headers)
        span = _frameworks_span()
        if span is None:
            for key, value in INNER_TELEMETRY.items():
                scope.setdefault(key, value)
            return self._incoming.start(str(attributes["http.request.method"]), context, attributes)
        return self._incoming.join(span, context, attributes)


class _Exchange:
    """One request and its response: listens at `receive` and `send`, and decides how the call ended."""

    def __init__(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        self._call = call
        self._scope = scope
        self._receive = receive
        self._send = send

    async def run(self, app: App) -> None:
        """Let `app` answer; the call ends with the body, the caller's leaving, or the app's failure, whichever is first."""
        try:
            await app(self._scope, self._listen, self._answer)
        except BaseException as error:
            self._call.stop(ending_of_exception(error))
            raise
        finally:
            self._call.stop(Ending("error", complete=False, error_type="incomplete_response"))
            self._close()

    async def _listen(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            # The span stays open until the app has unwound: it may yet state the tokens it made in vain.
            self._call.stop(LEAVING)
        return message

    async def _answer(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._started(message)
        elif body := message.get("body"):
            self._call.chunk(body)
        last = kind in BODY and not message.get("more_body")
        if last and caller_is_gone(self._receive):
            self._call.stop(LEAVING)
        if last and not self._call.owns_span:
            # The span's owner ends it inside this send.
            self._ended()
        try:
            await self._send(message)
        except OSError:
            # ASGI 2.4: sending to a caller that went away.
            self._call.stop(LEAVING)
            raise
        if last:
            self._ended()

    def _started(self, message: Message) -> None:
        content_type, has_length = "", False
        for name, value in message.get("headers") or ():
            if name.lower() == b"content-type":
                content_type = value.decode("latin-1")
            has_length = has_length or name.lower() == b"content-length"
        self._call.headers(int(message["status"]), content_type=content_type, has_length=has_length)

    def _ended(self) -> None:
        self._call.stop(ending_of_status(self._call.status_code))
        self._close()

    def _close(self) -> None:
        if self._call.closed:
            return
        route = route_template(self._scope)
        span = self._call.span
        if route and span.is_recording() and self._call.owns_span:
            span.update_name(f"{self._scope['method']} {route}")
        if route and span.is_recording():
            span.set_attribute("http.route", route)
        self._call.close()


def caller_is_gone(receive: Any) -> bool:
    """Whether the server behind `receive` knows that its caller has left, where it can be asked without receiving (uvicorn).

    An app that answers at once with the whole body never looks, and uvicorn drops what it sends to nobody without a word.
    """
    for _ in range(MAX_WRAPPERS):
        known = getattr(getattr(receive, "__self__", None), "disconnected", None)
        if isinstance(known, bool):
            return known
        receive = _wrapped(receive)
    return False


def _wrapped(receive: Any) -> Any:
    """What a closure around `receive` (FastAPI's, contrib's) calls by that name; None where it is no such closure."""
    names = getattr(getattr(receive, "__code__", None), "co_freevars", ())
    cells = getattr(receive, "__closure__", None) or ()
    return next((cell.cell_contents for name, cell in zip(names, cells, strict=True) if name == "receive"), None)


def _request_attributes(scope: Scope, headers: Mapping[str, str]) -> dict[str, AttributeValue]:
    """What the request says of itself: no path, no query, no addresses, no header values."""
    method = str(scope["method"])
    attributes: dict[str, AttributeValue] = {
        "http.request.method": method if method in METHODS else "_OTHER",
        "url.scheme": str(scope.get("scheme", "http")),
        "network.protocol.version": str(scope.get("http_version", "1.1")),
    }
    return attributes | attempt_in(headers)


def _frameworks_span() -> Span | None:
    """The SERVER span that another instrumentation has opened for this very request, if there is one."""
    span = trace.get_current_span()
    outer = serving(get_current())
    ours = outer is not None and outer.span is span
    if ours or not span.is_recording() or getattr(span, "kind", None) is not SpanKind.SERVER:
        return None
    return span


def _headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; of several with one name the first, but baggage is joined."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name not in headers:
            headers[name] = value
        elif name == "baggage":
            headers[name] += "," + value
    return headers
