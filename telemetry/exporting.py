"""Where spans go: exporters as OTEL_* variables name them, and one warning, not a stream of them, while nobody answers."""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import entry_points
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit
from weakref import WeakMethod, WeakSet

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from .errors import BadConfigError

logger = logging.getLogger("meshslo")

Exporter = TypeVar("Exporter")
Result = TypeVar("Result")

TRACES_PATH: Final = "v1/traces"

MAX_REASON_CHARS: Final = 300

LAST_EXPORT_S: Final = 5.0
"""How long a process that ends waits for the collector to take the last spans."""

NOISY: Final = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
)
"""Loggers that repeat themselves with every batch that fails."""

QUEUE_LOGGER: Final = "opentelemetry.sdk._shared_internal"
"""Logger that repeats itself while a queue is full."""


def exporters(endpoint: str | None) -> list[Callable[[], SpanExporter]]:
    """Makers of OTLP over HTTP to `endpoint` where given, else of what OTEL_TRACES_EXPORTER names (default otlp)."""
    if endpoint:
        return [partial(OTLPSpanExporter, endpoint=signal_url(endpoint))]
    names = [name.strip() for name in os.environ.get("OTEL_TRACES_EXPORTER", "otlp").split(",")]
    return [registered("traces", name) for name in names if name and name.lower() != "none"]


def signal_url(endpoint: str, path: str = TRACES_PATH) -> str:
    """`endpoint` with the `path` of a signal; one that ends in that of traces has it replaced, any other path is a prefix.

    >>> signal_url("http://collector:4318"), signal_url("http://gateway/otlp/v1/traces", "v1/metrics")
    ('http://collector:4318/v1/traces', 'http://gateway/otlp/v1/metrics')
    """
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadConfigError(f"endpoint={endpoint!r} is no http(s) URL; give one such as http://127.0.0.1:4318")
    return f"{endpoint.rstrip('/').removesuffix(TRACES_PATH).rstrip('/')}/{path}"


def registered(signal: str, name: str) -> Callable[[], Any]:
    """The maker of the exporter of `signal` (traces, metrics) that is registered as `name`.

    Plain `otlp` goes by OTEL_EXPORTER_OTLP_PROTOCOL, or that of the signal; HTTP by default. BadConfigError: none is installed.
    """
    if name == "otlp":
        of_signal = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL")
        protocol = of_signal or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        name = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    found = next(iter(entry_points(group=f"opentelemetry_{signal}_exporter", name=name)), None)
    if found is None:
        raise BadConfigError(
            f"no {signal} exporter {name!r} is installed; see OTEL_{signal.upper()}_EXPORTER and OTEL_EXPORTER_OTLP_PROTOCOL"
        )
    maker: Callable[[], Any] = found.load()
    return maker


class Losses:
    """Counts what is lost; says so once, and once more when it arrives again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lost = 0
        self._lock = threading.Lock()
        anew = WeakMethod(self._anew)
        os.register_at_fork(after_in_child=lambda: (again := anew()) and again())

    def lost(self, count: int, reason: str) -> None:
        """`count` of them are gone, for `reason`; a full queue and a failed export may tell of it at once."""
        with self._lock:
            first = not self._lost
            self._lost += count
        if first:
            logger.warning("%s are lost, until the collector takes them again: %s", self._what, reason[:MAX_REASON_CHARS])

    def arrived(self) -> None:
        """A batch was taken."""
        with self._lock:
            lost, self._lost = self._lost, 0
        if lost:
            logger.warning("the collector takes %s again; %d were lost meanwhile", self._what, lost)

    def _anew(self) -> None:
        # Another thread of the parent may have held the lock at the fork.
        self._lock = threading.Lock()


class Outlet(Generic[Exporter]):
    """Holds an exporter, and keeps its own repeated complaints to one.

    A forked child makes an exporter of its own: two processes must not talk over one connection.
    """

    def __init__(self, make: Callable[[], Exporter], what: str) -> None:
        self.losses = Losses(what)
        self.exporter = make()
        self.complaints = Complaints(*NOISY)
        self._make = make
        OUTLETS.add(self)
        anew = WeakMethod(self._anew)
        os.register_at_fork(after_in_child=lambda: (again := anew()) and again())

    @property
    def complaint(self) -> str:
        """What the exporter said first when it last failed."""
        return self.complaints.first or "the exporter gave no reason"

    def pass_on(self, count: int, export: Callable[[], Result], taken: Result) -> Result:
        """What `export` says of `count` of them, which are lost unless it says `taken`."""
        self.complaints.first = ""
        with self.complaints:
            result = export()
        if result is taken:
            self.losses.arrived()
        else:
            self.losses.lost(count, self.complaint)
        return result

    def _anew(self) -> None:
        self.exporter = self._make()


OUTLETS: Final[WeakSet[Outlet[Any]]] = WeakSet()
"""Those of this process."""


class QuietExporter(Outlet[SpanExporter], SpanExporter):
    """Passes batches of spans on; a failure costs them, one warning and nothing else."""

    def __init__(self, make: Callable[[], SpanExporter]) -> None:
        super().__init__(make, "spans")
        self.sending = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export `spans`."""
        self.sending = len(spans)
        result = self.pass_on(len(spans), partial(self.exporter.export, spans), SpanExportResult.SUCCESS)
        self.sending = 0
        return result

    def shutdown(self) -> None:
        """Close the exporter; a batch that is being retried is given up."""
        with self.complaints:
            self.exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush what the exporter holds back itself."""
        return self.exporter.force_flush(timeout_millis)


class Complaints(logging.Filter):
    """Holds back what loggers say in a thread while it is inside `with`, and remembers the first of it."""

    def __init__(self, *loggers: str) -> None:
        super().__init__()
        self._here = threading.local()
        self.first = ""
        for name in loggers:
            logging.getLogger(name).addFilter(self)

    def __enter__(self) -> None:
        self._here.inside = True

    def __exit__(self, *_: object) -> None:
        self._here.inside = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Let through what other threads say."""
        if not getattr(self._here, "inside", False):
            return True
        self.first = self.first or record.getMessage()
        return False


class BoundedBatches(BatchSpanProcessor):
    """The SDK's batch processor (bounded queue, OTEL_BSP_* hold); a dead collector does not hold up the process's end."""

    def __init__(self, exporter: QuietExporter) -> None:
        super().__init__(exporter)
        self._quiet = exporter
        # The queue is the SDK's own; without it losses are not counted here but in the SDK's log.
        self._waiting: deque[ReadableSpan] = getattr(self._batch_processor, "_queue", deque())
        self._repetitions = Complaints(QUEUE_LOGGER)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue `span`; where the queue is full, the oldest one goes."""
        if len(self._waiting) != self._waiting.maxlen:
            super().on_end(span)
            return
        self._quiet.losses.lost(1, f"{self._waiting.maxlen} are waiting already (OTEL_BSP_MAX_QUEUE_SIZE)")
        with self._repetitions:
            super().on_end(span)

    def shutdown(self) -> None:
        """Export what is waiting, for at most LAST_EXPORT_S seconds, and say what was left."""
        sending = self._quiet.sending
        self._batch_processor.shutdown(round(LAST_EXPORT_S * 1000))
        left = len(self._waiting) + min(sending, self._quiet.sending)
        if left:
            self._quiet.losses.lost(left, self._quiet.complaint)
