"""A service that is told to stop sends what it holds, though its server dies by the signal; a dead collector holds up none."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from meshslo.telemetry import MeshsloMiddleware, exporting
from meshslo.telemetry.exporting import QuietExporter
from meshslo.telemetry.lifespan import export_what_waits
from tests.support.net import free_port, listens, wait_for
from tests.support.otlp_sink import otlp_sink

APP = """
import os

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from meshslo.telemetry import MeshsloMiddleware, setup

setup("gateway")
app = MeshsloMiddleware(Starlette(routes=[Route("/", lambda request: PlainTextResponse(str(os.getpid())))]))
"""


@contextmanager
def served(folder: Path, *command: str, **environment: str) -> Iterator[tuple["subprocess.Popen[bytes]", httpx.Client]]:
    """APP as an operator runs it with `command`, and a client of it; PORT stands for a free one."""
    (folder / "app.py").write_text(APP)
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", *(word.replace("PORT", str(port)) for word in command), "--log-level", "warning", "app:app"],
        cwd=folder,
        # Nothing is exported before the end.
        env={**os.environ, "OTEL_BSP_SCHEDULE_DELAY": "3600000", **environment},
    )
    try:
        wait_for(lambda: listens(port), what="the server", timeout_s=300)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            yield process, client
    finally:
        process.kill()
        process.wait()


@pytest.mark.system
@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["alone", "workers"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_loses_no_span(tmp_path: Path, options: tuple[str, ...], number: signal.Signals) -> None:
    command = ("uvicorn", "--port", "PORT", *options)
    with otlp_sink() as sink, served(tmp_path, *command, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url) as (process, client):
        for _ in range(5):
            assert client.get("/").status_code == 200
        process.send_signal(number)
        process.wait(timeout=300)
        assert len(sink.spans) == 5


@pytest.mark.system
@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["", "preload"])
@pytest.mark.parametrize("worker", ["asgi", "uvicorn.workers.UvicornWorker"])
def test_gunicorns_workers_export_and_so_do_those_that_replace_them(
    tmp_path: Path, preload: tuple[str, ...], worker: str
) -> None:
    command = ("gunicorn", "--bind", "127.0.0.1:PORT", "--workers", "2", "--worker-class", worker, *preload)
    # uvicorn would have its worker class installed from a package of its own.
    environment = {"PYTHONWARNINGS": "ignore::DeprecationWarning"}
    pids: list[str] = []

    def ask() -> str:
        # A worker that goes may drop a connection; then its request is asked again.
        with contextlib.suppress(httpx.TransportError):
            pids.append(client.get("/", headers={"Connection": "close"}).text)
        return pids[-1]

    with otlp_sink() as sink:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = sink.url
        with served(tmp_path, *command, **environment) as (process, client):
            before = {ask() for _ in range(10)}
            process.send_signal(signal.SIGHUP)
            wait_for(lambda: ask() not in before, what="a new worker", timeout_s=300)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=300) == 0
        assert len(sink.spans) >= len(pids)


class Holding(SpanExporter):
    """Answers no batch before it may."""

    def __init__(self) -> None:
        self.may = threading.Event()

    def export(self, spans: object) -> SpanExportResult:
        """Wait, then fail."""
        self.may.wait()
        return SpanExportResult.FAILURE


@pytest.fixture
def held() -> Iterator[tuple[TracerProvider, QuietExporter]]:
    """A provider with a span that cannot be exported, and its exporter."""
    holding = Holding()
    quiet = QuietExporter(lambda: holding)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(quiet, schedule_delay_millis=3_600_000))
    provider.get_tracer("test").start_span("lost").end()
    yield provider, quiet
    holding.may.set()


def test_an_end_does_not_wait_for_a_collector_that_is_down(held: tuple[TracerProvider, QuietExporter]) -> None:
    provider, quiet = held
    quiet.complaints.first = "connection refused"
    export_what_waits(provider)
    assert quiet.sending <= 1, "the exporter is still at it"


def test_an_end_waits_so_long_and_no_longer(
    held: tuple[TracerProvider, QuietExporter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "LAST_EXPORT_S", 0.1)
    export_what_waits(held[0])
    assert held[1].sending == 1


@pytest.mark.parametrize("last", ["complete", "failed"])
async def test_spans_are_exported_before_the_server_hears_of_the_end(last: str) -> None:
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(memory, schedule_delay_millis=3_600_000))
    heard: list[tuple[str, tuple[ReadableSpan, ...]]] = []

    async def app(scope: object, receive: object, send: object) -> None:
        for kind in ("startup.complete", f"shutdown.{last}"):
            provider.get_tracer("test").start_span(kind).end()
            await send({"type": f"lifespan.{kind}"})  # type: ignore[operator]

    async def send(message: object) -> None:
        heard.append((message["type"], memory.get_finished_spans()))  # type: ignore[index]

    async def receive() -> dict[str, str]:
        raise AssertionError

    await MeshsloMiddleware(app, tracer_provider=provider)({"type": "lifespan"}, receive, send)
    assert [(kind, len(spans)) for kind, spans in heard] == [("lifespan.startup.complete", 0), (f"lifespan.shutdown.{last}", 2)]
