"""No line of code: `opentelemetry-instrument` measures a service that knows nothing of us."""

import os
import subprocess
import sys
import tempfile
import textwrap
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.support.otlp_sink import Sink, otlp_sink

pytestmark = pytest.mark.system

SERVICE = """
    import threading, time, socket
    import httpx, uvicorn
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse

    app = FastAPI()

    @app.get("/chat/{item}")
    async def chat(item: str) -> StreamingResponse:
        async def chunks():
            yield "data: one\\n\\n"
            yield "data: two\\n\\n"
        return StreamingResponse(chunks(), media_type="text/event-stream")

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.05)
    with httpx.Client() as client:
        answer = client.get(f"http://127.0.0.1:{listener.getsockname()[1]}/chat/7", headers={"x-tenant-id": "acme"})
    assert answer.text.count("data:") == 2
    server.should_exit = True
    thread.join()
"""


def run(sink: Sink, program: str = SERVICE, **environment: str) -> str:
    command = Path(sys.executable).with_name("opentelemetry-instrument")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    stated = {"OTEL_SERVICE_NAME": "auto", "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, **environment}
    # Elsewhere than in the checkout, whose metadata of an older build would hide the installed entry points.
    cwd = tempfile.gettempdir()
    done = subprocess.run(
        [command, sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        env=clean | stated,
        timeout=300,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def outcomes(sink: Sink) -> list[tuple[str, str]]:
    """Caller's or callee's side of each call, with its outcome."""
    told = [(name, attributes) for _, name, attributes in sink.spans if "meshslo.outcome" in attributes]
    return sorted((name, attributes["meshslo.outcome"].string_value) for name, attributes in told)


def test_servers_and_clients_are_measured_once_and_labelled_without_a_line() -> None:
    with otlp_sink() as sink:
        said = run(sink)
    assert "Skipping" not in said, "other instrumentation finds what it looks for"
    assert outcomes(sink) == [("GET", "ok"), ("GET /chat/{item}", "ok")]
    served = next(attributes for _, name, attributes in sink.spans if name == "GET /chat/{item}")
    assert (served["tenant.id"].string_value, served["meshslo.caller"].string_value) == ("acme", "auto")
    assert served["meshslo.stream.chunks"].int_value == 2
    kinds = sink.kinds()
    assert (kinds.count("SPAN_KIND_SERVER"), kinds.count("SPAN_KIND_CLIENT")) == (1, 1), "those of fastapi and httpx are on too"
    assert "GET /chat/{item} http send" in sink.names(), "fastapi's own instrumentation is at work"


def test_one_half_can_be_switched_off() -> None:
    # The instrumentations of others would see the same calls: here it is about ours.
    with otlp_sink() as sink:
        run(sink, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="meshslo_asgi,httpx,fastapi,asgi")
    assert outcomes(sink) == [("GET", "ok")]
    ours = {entry.name for entry in entry_points(group="opentelemetry_instrumentor") if entry.value.startswith("meshslo.")}
    assert ours == {f"meshslo_{name}" for name in ("asgi", "grpc", "httpx", "openai")}


GRPC = """
    import asyncio
    import grpc

    async def answers(request, context):
        yield b"a"
        yield b"b"

    async def main():
        server = grpc.aio.server()
        handler = grpc.unary_stream_rpc_method_handler(answers)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("models.Generator", {"Generate": handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert len([answer async for answer in channel.unary_stream("/models.Generator/Generate")(b"ask")]) == 2
        await server.stop(None)

    asyncio.run(main())
"""


SYNC_GRPC = """
    from concurrent.futures import ThreadPoolExecutor
    import grpc

    server = grpc.server(ThreadPoolExecutor(1))
    handler = grpc.unary_stream_rpc_method_handler(lambda request, context: iter([b"a", b"b"]))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("models.Generator", {"Generate": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert len(list(channel.unary_stream("/models.Generator/Generate")(b"ask"))) == 2
    server.stop(None).wait()
"""


def test_grpc_is_measured_on_both_sides_without_a_line() -> None:
    with otlp_sink() as sink:
        run(sink, GRPC + SYNC_GRPC)
    assert outcomes(sink) == [("models.Generator/Generate", "ok")] * 4
    assert sorted(sink.kinds()) == ["SPAN_KIND_CLIENT"] * 2 + ["SPAN_KIND_SERVER"] * 2


def test_a_process_without_any_of_the_libraries_in_use_is_left_alone() -> None:
    with otlp_sink() as sink:
        assert "Traceback" not in run(sink, "print('nothing to see')")
    assert sink.spans == []
