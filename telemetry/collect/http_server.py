"""Uvicorn as the collector runs it: on a socket of ours, with a bounded number of connections."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from .settings import CollectSettings

RETRY_AFTER_S: Final = 2
_FULL: Final = (
    f"HTTP/1.1 503 Service Unavailable\r\nRetry-After: {RETRY_AFTER_S}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
).encode()
"""What exporters take for "send again"."""


class _Connection(H11Protocol):
    """A connection that is turned away where there are `most` already."""

    def __init__(self, *arguments: Any, most: int, turned_away: Callable[[], None], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._most = most
        self._turned_away = turned_away

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """Take the connection, or answer at once and close it."""
        if len(self.connections) >= self._most:
            self._turned_away()
            transport.write(_FULL)
            transport.close()
        super().connection_made(transport)


class HttpServer(uvicorn.Server):
    """Uvicorn on a socket of ours, leaving signals to the collector and telling when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.has_started.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signal handlers as they are."""
        yield


def http_server(app: Starlette, settings: CollectSettings, turned_away: Callable[[], None]) -> HttpServer:
    """A server that is not started; run it with `serve(sockets=[...])`. It tells of each connection it turns away."""
    tls = settings.tls
    return HttpServer(
        uvicorn.Config(
            app,
            http=partial(_Connection, most=settings.max_connections, turned_away=turned_away),  # type: ignore[arg-type]  # as a class is called
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=tls.key if tls else None,
            ssl_ca_certs=str(tls.client_ca) if tls and tls.client_ca else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if tls and tls.client_ca else ssl.CERT_NONE,
        )
    )
