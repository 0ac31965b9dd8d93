"""One replica at work: its clock, its counts, its clients, and how it is served."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from meshslo.telemetry import MeshsloMiddleware, instrument_httpx, setup

from .replica import Replica

NO_TIMERS = httpx.Timeout(None)
"""The mesh's proxies hold the timers, so that applying a recommendation is a change of the mesh alone."""

MANY = httpx.Limits(max_connections=500, max_keepalive_connections=100)


@dataclass
class Desk:
    """A replica at work: the time since the run began, its counts, and clients of its callees."""

    replica: Replica
    began_s: float = field(default_factory=time.monotonic)
    counts: Counter[str] = field(default_factory=Counter)
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    def elapsed_s(self) -> float:
        """Seconds since the run began, in the unstretched time that `disturbances` is written in."""
        return (time.monotonic() - self.began_s) / self.replica.pace

    def client(self, callee: str) -> httpx.AsyncClient:
        """The instrumented client of a callee, behind its proxy."""
        if callee not in self.clients:
            client = httpx.AsyncClient(base_url=self.replica.peers[callee], timeout=NO_TIMERS, limits=MANY)
            instrument_httpx(client)
            self.clients[callee] = client
        return self.clients[callee]

    def begin(self) -> None:
        """Start a run: the clock at zero, nothing counted."""
        self.began_s = time.monotonic()
        self.counts.clear()


def serve(replica: Replica, build: Callable[[Desk], FastAPI]) -> None:
    """Run the replica until it is told to stop; spans go where OTEL_EXPORTER_OTLP_ENDPOINT says."""
    telemetry = setup(service=replica.service)
    desk = Desk(replica)
    app = build(desk)
    app.add_middleware(MeshsloMiddleware)
    try:
        # Keep-alive longer than the proxy's own: a connection that the callee closes first is a reset of the next request.
        uvicorn.run(
            _Front(app, _control(desk)),
            host="127.0.0.1",
            port=replica.port,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_keep_alive=300,
            timeout_graceful_shutdown=1,
        )
    finally:
        telemetry.shutdown()


def _control(desk: Desk) -> Starlette:
    """What the demo asks of a replica besides its service. Not FastAPI, which makes spans of its own."""

    def begin(_: Request) -> Response:
        desk.begin()
        return Response(status_code=204)

    def counts(_: Request) -> Response:
        return JSONResponse(desk.counts)

    return Starlette(routes=[Route("/begin", begin, methods=["POST"]), Route("/counts", counts)])


class _Front:
    """Sends /demo/... to the demo's control, which is no part of the service and not measured, all else to the service.

    Keeps the connection at hand for handlers that drop it: no ASGI message says "close without an answer".
    """

    def __init__(self, app: Any, control: Any) -> None:
        self.app = app
        self.control = control

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if path.startswith("/demo/"):
            await self.control({**scope, "path": path.removeprefix("/demo")}, receive, send)
            return
        # uvicorn's `receive` is a method of its request cycle, which holds the transport.
        scope["demo.drop"] = receive.__self__.transport.abort
        await self.app(scope, receive, send)
