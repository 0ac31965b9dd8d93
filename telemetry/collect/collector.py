"""The collector: both ports, the journal and the worker on one store, from start to a flushed end."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from meshslo.telemetry.store.atomic import write_atomically
from meshslo.telemetry.store.journal import Journal
from meshslo.telemetry.store.layout import Layout, open_layout
from meshslo.telemetry.store.locks import collector_lock
from meshslo.telemetry.store.segments import recover

from .call_metrics import CallMetrics
from .events import Say, sayer
from .exposition import Exposition
from .forward import Forwarder
from .health import Connections, Forwarded, Health
from .http_server import http_server
from .intake import Intake
from .otlp_grpc import grpc_server
from .otlp_http import http_app
from .settings import Address, CollectSettings, listen
from .worker_process import WorkerProcess

_GRACE_S = 5.0


@dataclass(frozen=True)
class Listening:
    """Where a running collector takes spans."""

    grpc: Address
    http: Address

    def to_json(self) -> str:
        """For who waits for the collector: {"grpc": "HOST:PORT", "http": "HOST:PORT", "pid": N}."""
        return json.dumps({"grpc": str(self.grpc), "http": str(self.http), "pid": os.getpid()})


def collect(settings: CollectSettings) -> None:
    """Run a collector until SIGTERM or SIGINT, then flush.

    Raises StoreError where the store cannot be used or has a collector already, BadConfigError for an address that cannot be
    had.
    """
    settings.check()
    layout = open_layout(settings.store, create=True)
    say = sayer()
    with collector_lock(layout):
        for tail in recover(layout):
            say("torn_tail_cut", segment=tail.path.name, cut_bytes=tail.cut_bytes, note="never acknowledged")
        asyncio.run(_run(settings, layout, say))


async def _run(settings: CollectSettings, layout: Layout, say: Say) -> None:
    journal = Journal(layout, settings.journal)
    worker = WorkerProcess(layout.root, settings.worker, say)
    forwarder = None if settings.forward is None else Forwarder(settings.forward, settings.max_forward_bytes)
    intake = Intake(journal, forwarder, settings.limits)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Health(layout, intake, journal, worker.stats))
    if forwarder is not None:
        registry.register(Forwarded(forwarder))
    calls = CallMetrics(layout)
    registry.register(calls)
    try:
        async with AsyncExitStack() as stack:
            if forwarder is not None:
                await stack.enter_async_context(forwarder.running(say))
            listening = await stack.enter_async_context(_serving(settings, intake, Exposition(registry, calls.natives)))
            if settings.ready_file is not None:
                write_atomically(settings.ready_file, listening.to_json().encode())
            say("ready", **json.loads(listening.to_json()), store=str(layout.root))
            await _told_to_stop()
            say("stopping")
    finally:
        await asyncio.to_thread(journal.close)
        await asyncio.to_thread(worker.flush)
    say("stopped", rows=worker.stats.totals["rows"], duplicates=worker.stats.totals["duplicates"])


@asynccontextmanager
async def _serving(settings: CollectSettings, intake: Intake, shown: Exposition) -> AsyncIterator[Listening]:
    """Both ports open; at the end, requests under way get their answers."""
    bound = listen(settings.http)
    grpc, grpc_port = grpc_server(intake, settings)
    http = http_server(http_app(intake, settings, shown), settings, lambda: intake.refuse("too many connections"))
    await grpc.start()
    serving = asyncio.create_task(http.serve(sockets=[bound]))
    try:
        await http.has_started.wait()
        http_port = bound.getsockname()[1]
        shown.registry.register(Connections({"grpc": grpc_port, "http": http_port}, settings.max_connections))
        yield Listening(Address(settings.grpc.host, grpc_port), Address(settings.http.host, http_port))
    finally:
        http.should_exit = True
        await asyncio.gather(serving, grpc.stop(_GRACE_S))


async def _told_to_stop() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
