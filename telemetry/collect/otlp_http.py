"""The HTTP port: POST /v1/traces, /v1/logs and /v1/metrics in protobuf or JSON, /healthz and /metrics.

Errors are google.rpc.Status in the request's own encoding.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.json_format import MessageToJson
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.store.journal import StoreBusyError

from .accepted import SIGNALS
from .access import Sender, UnknownSenderError
from .body import Budget, BufferFullError, TooLargeError, UnknownEncodingError, decompress, read_body
from .exposition import Exposition
from .http_server import RETRY_AFTER_S
from .intake import Intake
from .settings import CollectSettings
from .signals import Signal

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
_SIGNALS: Final = {signal.http_path: signal for signal in SIGNALS}


class _UnknownTypeError(BadInputError):
    """A content type that is not OTLP's."""


_STATUS: Final[tuple[tuple[type[Exception], int, int, str], ...]] = (
    (TooLargeError, 413, Code.INVALID_ARGUMENT, "too large"),
    (UnknownEncodingError, 415, Code.INVALID_ARGUMENT, "unknown encoding"),
    (_UnknownTypeError, 415, Code.INVALID_ARGUMENT, "unknown content type"),
    (UnknownSenderError, 401, Code.UNAUTHENTICATED, "unknown sender"),
    (BufferFullError, 429, Code.RESOURCE_EXHAUSTED, "overload"),
    (StoreBusyError, 429, Code.RESOURCE_EXHAUSTED, "overload"),
    (BadInputError, 400, Code.INVALID_ARGUMENT, "bad data"),
)
"""Error -> HTTP status, status code in the body, and the reason it is counted under; the first that fits."""


@dataclass(frozen=True)
class _Receiver:
    """The handlers, and what they need."""

    intake: Intake
    budget: Budget
    settings: CollectSettings
    shown: Exposition

    async def export(self, request: Request) -> Response:
        """Answer an export of the signal whose path it came by."""
        kind = _content_type(request)
        signal = _SIGNALS[request.url.path]
        try:
            sender = self._sender(request)
            payload = await self._payload(request, kind, signal)
            return _answer(await self.intake.take(signal, payload, sender), kind)
        except (BadInputError, StoreBusyError) as error:
            return self._refuse(error, kind)
        except ClientDisconnect:
            self.intake.refuse("sender went away")
            return Response(status_code=400)

    async def metrics(self, request: Request) -> Response:
        """Show the collector's own numbers; who may not send may not see them either."""
        try:
            self._sender(request)
        except UnknownSenderError as error:
            return self._refuse(error, JSON)
        body, content_type = await asyncio.to_thread(self.shown.encode, request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    def _sender(self, request: Request) -> Sender:
        return self.settings.tokens.sender(request.headers.get("authorization"))

    async def _payload(self, request: Request, kind: str, signal: Signal) -> bytes:
        """The request's message as protobuf bytes."""
        if kind not in (PROTOBUF, JSON):
            raise _UnknownTypeError(f"Content-Type {kind!r} is not read here; send {PROTOBUF} or {JSON}")
        body = await read_body(_chunks(request), self.settings.max_message_bytes, self.budget)
        opened = decompress(body, request.headers.get("content-encoding", "").strip().lower(), self.settings.max_message_bytes)
        return await asyncio.to_thread(signal.from_json, opened) if kind == JSON else opened

    def _refuse(self, error: Exception, kind: str) -> Response:
        status, code, reason = next((s, c, r) for known, s, c, r in _STATUS if isinstance(error, known))
        self.intake.refuse(reason)
        response = _answer(Status(code=code, message=str(error)), kind, status)
        if status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        if status == 429:
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
        return response


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        yield chunk


def _answer(message: Any, kind: str, status: int = 200) -> Response:
    if kind == PROTOBUF:
        return Response(message.SerializeToString(), status, media_type=PROTOBUF)
    return Response(json.dumps(json.loads(MessageToJson(message))), status, media_type=JSON)


async def _not_here(request: Request, error: Exception) -> Response:
    """Answer 404 and 405 in the request's own encoding."""
    assert isinstance(error, HTTPException)  # noqa: S101  starlette calls it for nothing else
    code = Code.NOT_FOUND if error.status_code == 404 else Code.UNIMPLEMENTED
    message = f"{request.method} {request.url.path}: {error.detail}; this collector takes POST {', '.join(_SIGNALS)}"
    response = _answer(Status(code=code, message=message), _content_type(request), error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _healthz(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


def http_app(intake: Intake, settings: CollectSettings, shown: Exposition) -> Starlette:
    """The ASGI application of the port; `shown` is what /metrics shows."""
    receiver = _Receiver(intake, Budget(settings.max_buffered_bytes), settings, shown)
    routes = [
        *(Route(path, receiver.export, methods=["POST"]) for path in _SIGNALS),
        Route("/healthz", _healthz),
        Route("/metrics", receiver.metrics),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _not_here})
