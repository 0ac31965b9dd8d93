"""setup: one line, standard variables, and a collector that is down costs the spans and one warning.

Each program runs in a process of its own, since a process has one tracer provider for good.
"""

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from meshslo.telemetry.collect.metrics import METRICS
from meshslo.telemetry.collect.traces import TRACES
from meshslo.telemetry.exporting import Losses
from tests.support.net import free_port
from tests.support.otlp_sink import grpc_sink, otlp_sink

pytestmark = pytest.mark.system


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`program` in a Python of its own with these variables; its logs go to stderr."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "KUBERNETES_"))}
    prelude = """
        import logging, os, sys
        logging.basicConfig(level=logging.WARNING)
        from meshslo.telemetry import LabelPolicy, SetupSettings, current_call, observe_stream, setup
    """
    source = textwrap.dedent(prelude) + textwrap.dedent(program)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, env=clean | environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def test_one_line_sends_a_services_spans_and_the_end_loses_none() -> None:
    with otlp_sink() as sink:
        done = run(f"setup('gateway', endpoint={sink.url!r})\nlist(observe_stream(iter('ab')))")
        assert [(service, name) for service, name, _ in sink.spans] == [("gateway", "stream")]
    assert done.stderr == ""


def test_nothing_but_opentelemetry_is_needed() -> None:
    others = ("grpc", "httpx", "httpx2", "openai", "starlette", "fastapi", "polars", "numpy", "opentelemetry.instrumentation")
    program = f"""
        for name in {others!r}:
            sys.modules[name] = None
        import meshslo.telemetry
        for name in meshslo.telemetry.__all__:
            getattr(meshslo.telemetry, name)
        setup('x')
        list(observe_stream(iter('ab')))
    """
    run(program, OTEL_TRACES_EXPORTER="none")


def test_standard_variables_hold() -> None:
    with otlp_sink() as sink:
        run(
            "t = setup()\nlist(observe_stream(iter('ab')))\nassert t.force_flush()",
            OTEL_SERVICE_NAME="named-outside",
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
        )
        assert [service for service, _, _ in sink.spans] == ["named-outside"]
        run("setup('x')\nlist(observe_stream(iter('ab')))", OTEL_SDK_DISABLED="true", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        run("setup('x')\nlist(observe_stream(iter('ab')))", OTEL_TRACES_EXPORTER="none", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        run(
            "setup('x')\nlist(observe_stream(iter('ab')))",
            OTEL_TRACES_SAMPLER="always_off",
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
        )
        assert len(sink.spans) == 1


def test_a_stream_left_open_when_the_process_ends_is_sent() -> None:
    with otlp_sink() as sink:
        run(f"setup('gateway', endpoint={sink.url!r})\nstream = observe_stream(iter('ab'))\nnext(stream)")
        ((_, _, attributes),) = sink.spans
        assert attributes["meshslo.outcome"].string_value == "cancelled"


def test_a_forked_worker_sends_its_spans_too() -> None:
    program = """
        t = setup('gateway', endpoint=os.environ['SINK'])
        list(observe_stream(iter('ab'), attributes={'gen_ai.operation.name': 'parent'}))
        t.force_flush()
        child = os.fork()
        list(observe_stream(iter('ab'), attributes={'gen_ai.operation.name': 'parent' if child else 'child'}))
        t.force_flush()
        if not child:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    """
    with otlp_sink() as sink:
        run(program, SINK=sink.url, PYTHONWARNINGS="ignore::DeprecationWarning")
        assert sorted(sink.names()) == ["child", "parent", "parent"]


def test_a_call_that_was_open_at_a_fork_is_sent_by_the_parent_alone() -> None:
    program = """
        import gc
        t = setup('gateway', endpoint=os.environ['SINK'])
        stream = observe_stream(iter('ab'))
        next(stream)
        child = os.fork()
        if not child:
            del stream
            gc.collect()
            t.shutdown()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        list(stream)
    """
    with otlp_sink() as sink:
        run(program, SINK=sink.url, PYTHONWARNINGS="ignore::DeprecationWarning")
        ((_, _, attributes),) = sink.spans
    assert attributes["meshslo.outcome"].string_value == "ok"


def test_a_collector_that_is_down_costs_the_spans_and_one_warning() -> None:
    program = f"""
        import resource
        t = setup('gateway', endpoint='http://127.0.0.1:{free_port()}')
        for _ in range(3000):
            list(observe_stream(iter('ab')))
        full = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(20000):
            list(observe_stream(iter('ab')))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - full)
    """
    done = run(program, OTEL_EXPORTER_OTLP_TIMEOUT="1")
    warnings = [line for line in done.stderr.splitlines() if line.startswith(("WARNING", "ERROR"))]
    assert len(warnings) == 1, done.stderr
    assert "spans are lost" in warnings[0]
    # 20,000 spans that were kept would be some 60 MiB.
    assert int(done.stdout) < 20 * 1024


def test_setting_up_twice_sends_and_labels_once() -> None:
    program = """
        first = setup('gateway', endpoint=os.environ['SINK'])
        second = setup('gateway')
        assert first.provider is second.provider
        list(observe_stream(iter('ab')))
    """
    with otlp_sink() as sink:
        assert run(program, SINK=sink.url).stderr == ""
        assert len(sink.spans) == 1


def test_a_provider_that_is_there_gains_the_labels_and_keeps_its_name() -> None:
    program = """
        from opentelemetry import baggage, context, trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        trace.set_tracer_provider(TracerProvider(resource=Resource({'service.name': 'theirs'})))
        setup('ours', endpoint=os.environ['SINK'])
        context.attach(baggage.set_baggage('tenant.id', 'acme'))
        trace.get_tracer('mine').start_span('mine').end()
    """
    with otlp_sink() as sink:
        done = run(program, SINK=sink.url)
        ((service, _, attributes),) = sink.spans
    assert (service, attributes["tenant.id"].string_value) == ("theirs", "acme")
    assert "'theirs' already; 'ours' is ignored" in done.stderr


@pytest.mark.parametrize(
    ("line", "environment", "said"),
    [
        ("setup('x', endpoint='collector:4317')", {}, "is no http(s) URL"),
        ("setup('x')", {"OTEL_TRACES_EXPORTER": "zipkni"}, "no traces exporter 'zipkni'"),
    ],
)
def test_a_destination_that_cannot_be_is_named(line: str, environment: dict[str, str], said: str) -> None:
    program = f"""
        from meshslo.telemetry.errors import BadConfigError
        try:
            {line}
        except BadConfigError as error:
            print(error)
    """
    assert said in run(program, **environment).stdout


def test_a_service_without_a_name_is_told() -> None:
    assert "has no name" in run("setup()", OTEL_TRACES_EXPORTER="none").stderr


def test_a_pod_knows_its_name() -> None:
    program = """
        attributes = setup('x').provider.resource.attributes
        print(attributes['k8s.pod.name'], attributes['service.name'])
    """
    done = run(program, OTEL_TRACES_EXPORTER="none", KUBERNETES_SERVICE_HOST="10.0.0.1", HOSTNAME="x-7d9f")
    assert done.stdout.split() == ["x-7d9f", "x"]


def test_metrics_are_exported_and_served_on_request() -> None:
    program = """
        import asyncio
        t = setup('gateway', endpoint=os.environ['SINK'], settings=SetupSettings(export_metrics=True, serve_metrics=True))
        list(observe_stream(iter('ab')))
        assert t.force_flush()
        async def send(message):
            print(message.get('body', b'').decode())
        asyncio.run(t.metrics_app()({}, None, send))
    """
    with otlp_sink() as sink:
        done = run(program, SINK=sink.url)
        assert sink.names() == ["stream"]
        assert "/v1/metrics" in sink.paths
    assert 'meshslo_call_total_seconds_count{meshslo_outcome="ok",meshslo_vantage="client",service="gateway"} 1' in done.stdout
    assert done.stderr == ""


def test_spans_and_metrics_go_by_the_protocol_that_is_asked_for() -> None:
    with grpc_sink() as (address, paths):
        done = run(
            "t = setup('gateway')\nlist(observe_stream(iter('ab')))\nassert t.force_flush()",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{address}",
            OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
            OTEL_METRICS_EXPORTER="otlp",
        )
    assert {TRACES.grpc_path, METRICS.grpc_path} == set(paths)
    assert done.stderr == ""


def test_metrics_that_are_not_kept_cannot_be_served() -> None:
    program = """
        from meshslo.telemetry.errors import BadConfigError
        try:
            setup('x').metrics_app()
        except BadConfigError as error:
            print(error)
    """
    assert "serve_metrics=True" in run(program, OTEL_TRACES_EXPORTER="none").stdout


def test_a_hashed_tenant_does_not_leave_the_process_in_clear() -> None:
    program = """
        from meshslo.telemetry.baggage import carry, label
        setup('x', endpoint=os.environ['SINK'], settings=SetupSettings(labels=LabelPolicy(tenant_key=b'k')))
        current_call().set(tenant='acme')
        list(observe_stream(iter('ab')))
    """
    with otlp_sink() as sink:
        run(program, SINK=sink.url)
        ((_, _, attributes),) = sink.spans
    assert attributes["tenant.id"].string_value.startswith("hmac-")


def test_losses_told_from_two_threads_at_once_are_one_warning_and_all_counted(caplog: pytest.LogCaptureFixture) -> None:
    losses = Losses("spans")
    with caplog.at_level("WARNING", logger="meshslo"), ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: losses.lost(1, "down"), range(400)))
        losses.arrived()
    assert [record.getMessage() for record in caplog.records] == [
        "spans are lost, until the collector takes them again: down",
        "the collector takes spans again; 400 were lost meanwhile",
    ]
