"""Where spans go: exporters as OTEL_* variables name them, and one warning, not a stream of them, while nobody answers."""

import logging
import os
import threading
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from .errors import BadConfigError

logger = logging.getLogger("meshslo")

TRACES_PATH: Final = "v1/traces"

LAST_EXPORT_S: Final = 5.0
"""How long a process that ends waits for the collector to take the last spans."""

NOISY: Final = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.sdk._shared_internal",
)
"""Loggers that repeat themselves with every batch that fails."""


def exporters(endpoint: str | None) -> list[SpanExporter]:
    """OTLP over HTTP to `endpoint` where given, else the exporters that OTEL_TRACES_EXPORTER names (default otlp)."""
    if endpoint:
        return [OTLPSpanExporter(endpoint=traces_url(endpoint))]
    names = [name.strip() for name in os.environ.get("OTEL_TRACES_EXPORTER", "otlp").split(",")]
    return [_exporter(name) for name in names if name and name.lower() != "none"]


def traces_url(endpoint: str) -> str:
    """`endpoint` with the path of traces, unless it has a path already.

    >>> traces_url("http://collector:4318"), traces_url("http://gateway/otlp/v1/traces")
    ('http://collector:4318/v1/traces', 'http://gateway/otlp/v1/traces')
    """
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadConfigError(f"endpoint={endpoint!r} is no http(s) URL; give one such as http://127.0.0.1:4318")
    return endpoint if parts.path.strip("/") else f"{endpoint.rstrip('/')}/{TRACES_PATH}"


def _exporter(name: str) -> SpanExporter:
    """The exporter registered as `name`; plain `otlp` goes by OTEL_EXPORTER_OTLP_PROTOCOL, HTTP by default."""
    if name == "otlp":
        protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        name = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    found = next(iter(entry_points(group="opentelemetry_traces_exporter", name=name)), None)
    if found is None:
        raise BadConfigError(
            f"no trace exporter {name!r} is installed; see OTEL_TRACES_EXPORTER and OTEL_EXPORTER_OTLP_PROTOCOL"
        )
    exporter: SpanExporter = found.load()()
    return exporter


class QuietExporter(SpanExporter):
    """Passes batches on; says once that they are lost, and once that they arrive again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._lost = 0
        self._filter = _InThisThread()
        for name in NOISY:
            logging.getLogger(name).addFilter(self._filter)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export `spans`; a failure costs them and nothing else."""
        with self._filter:
            result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._arrived()
        else:
            self._failed(len(spans))
        return result

    def _failed(self, count: int) -> None:
        if not self._lost:
            reason = self._filter.last or "no reason given"
            logger.warning("the collector does not take spans, they are dropped until it does: %s", reason)
        self._lost += count

    def _arrived(self) -> None:
        if self._lost:
            logger.warning("the collector takes spans again; %d were lost meanwhile", self._lost)
        self._lost = 0

    def shutdown(self) -> None:
        """Close the exporter; a batch that is being retried is given up."""
        with self._filter:
            self._exporter.shutdown()
        for name in NOISY:
            logging.getLogger(name).removeFilter(self._filter)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush what the exporter holds back itself."""
        return self._exporter.force_flush(timeout_millis)


class _InThisThread(logging.Filter):
    """Holds back, and remembers, the messages of a thread while it is inside `with`."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()
        self.last = ""

    def __enter__(self) -> None:
        self._local.inside = True

    def __exit__(self, *_: object) -> None:
        self._local.inside = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Let through what other threads say."""
        if not getattr(self._local, "inside", False):
            return True
        self.last = record.getMessage()
        return False


class BoundedBatches(BatchSpanProcessor):
    """The SDK's batch processor (bounded queue, OTEL_BSP_* hold); a dead collector does not hold up the process's end."""

    def shutdown(self) -> None:
        """Export what is waiting, for at most LAST_EXPORT_S seconds."""
        self._batch_processor.shutdown(round(LAST_EXPORT_S * 1000))
