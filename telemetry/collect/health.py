"""The collector's own numbers for a Prometheus: what came in, what was turned away and why, the disk, the lag."""

import shutil
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector

from meshslo.telemetry.store.journal import Journal
from meshslo.telemetry.store.layout import Layout
from meshslo.telemetry.store.segments import all_segments, opened_ns

from .accepted import SIGNALS
from .forward import Forwarder
from .intake import Intake
from .worker_process import WorkerStats

_PREFIX: Final = "meshslo_collector_"
_WORKER_COUNTERS: Final[Mapping[str, str]] = {
    "rows": "Call rows written to Parquet.",
    "duplicates": "Call rows that were there already, and spans that came again before they had become one.",
    "metric_points": "Data points of metrics counted.",
    "metric_repeats": "Data points of metrics that were counted already.",
    "metric_baselines": "Data points that counted nowhere: their stream began over a day before it was first heard of.",
    "metric_surplus": "Data points that counted nowhere: more streams than can be remembered, by a label that is always new.",
    "damaged": "Segments kept as evidence because not all of them could be read.",
    "set_aside": "Segments kept as evidence because they could not be turned into calls.",
    "failed": "Steps that the disk refused; each is tried again.",
    "merged_files": "Small files that were merged.",
    "retired_files": "Files that were dropped by age or size.",
}


class Health(Collector):
    """Reads the parts of a running collector at each scrape; counters are since its start."""

    def __init__(self, layout: Layout, intake: Intake, journal: Journal, worker: WorkerStats) -> None:
        self._layout = layout
        self._intake = intake
        self._journal = journal
        self._worker = worker

    def collect(self) -> Iterable[Metric]:
        """Every metric, as prometheus_client asks for them."""
        yield from self._received()
        yield from self._written()
        yield from self._moved()

    def _received(self) -> Iterable[Metric]:
        stats = self._intake.stats
        yield _counter("batches", "Batches acknowledged.", stats.batches)
        for signal in SIGNALS:
            noun, name = signal.noun, signal.noun.replace(" ", "_")
            rejected = {reason: count for (of, reason), count in stats.rejected.items() if of == noun}
            yield _counter(f"{name}_received", f"{noun.capitalize()} acknowledged.", stats.accepted[noun])
            if signal.beside is not None:
                what = f"{noun.capitalize()} acknowledged that say nothing of calls, and are not stored."
                yield _counter(f"{name}_passed_over", what, stats.passed_over[noun])
            yield _by_reason(f"{name}_rejected", f"{noun.capitalize()} turned away, others of the batch were taken.", rejected)
        yield _by_reason("requests_refused", "Requests answered with an error.", stats.refused)

    def _written(self) -> Iterable[Metric]:
        stats = self._journal.stats
        sync = "Seconds that an fsync of the log took."
        yield SummaryMetricFamily(f"{_PREFIX}fsync_seconds", sync, count_value=stats.syncs, sum_value=stats.sync_s)
        yield _gauge("fsync_longest_seconds", "Seconds of the longest fsync since the start.", stats.longest_sync_s)
        yield _counter("log_bytes", "Bytes acknowledged.", stats.size_bytes)
        yield _counter("log_failures", "Writes of the log that the disk refused.", stats.failures)
        yield _gauge("queue_bytes", "Bytes that wait for the disk.", self._journal.waiting_bytes)
        yield _gauge("disk_free_bytes", "Bytes free where the store lies.", shutil.disk_usage(self._layout.root).free)

    def _moved(self) -> Iterable[Metric]:
        sizes, ages_s = self._segments()
        yield _gauge("backlog_bytes", "Bytes acknowledged and not yet in Parquet.", sum(sizes))
        yield _gauge("backlog_segments", "Segments not yet in Parquet.", len(sizes))
        yield _gauge(
            "lag_seconds", "Age of the oldest segment not yet in Parquet; 0 when there is none.", max(ages_s, default=0.0)
        )
        yield _gauge("spans_carried", "Spans that wait for the rest of their trace.", self._worker.carried)
        for name, what in _WORKER_COUNTERS.items():
            yield _counter(name, what, self._worker.totals[name])
        yield _counter("worker_restarts", "Times the worker process died.", self._worker.restarts)

    def _segments(self) -> tuple[list[int], list[float]]:
        sizes, ages_s, now_s = [], [], time.time()
        for path in all_segments(self._layout):
            try:
                status = path.stat()
            except FileNotFoundError:
                # The worker has just moved it to Parquet: it is no backlog any more.
                continue
            sizes.append(status.st_size)
            ages_s.append(now_s - opened_ns(path) / 1e9)
        return sizes, ages_s


class Forwarded(Collector):
    """What a forwarder has done with the batches it was offered."""

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder

    def collect(self) -> Iterable[Metric]:
        """Batches by what became of them, and what waits."""
        family = CounterMetricFamily(f"{_PREFIX}forwarded_batches", "Batches offered for forwarding.", labels=["result"])
        for result in ("forwarded", "refused", "dropped"):
            family.add_metric([result], self._forwarder.batches[result])
        yield family
        yield _gauge("forward_queue_bytes", "Bytes that wait to be forwarded.", self._forwarder.waiting_bytes)


class Connections(Collector):
    """How many connections each port has, out of how many: at the limit, the gRPC library turns more away and tells nobody."""

    def __init__(self, ports: Mapping[str, int], limit: int) -> None:
        self._ports = ports
        self._limit = limit

    def collect(self) -> Iterable[Metric]:
        """Connections by port, where the system tells of them (Linux), and their limit."""
        yield _gauge("connections_limit", "Connections that each port may have.", self._limit)
        if _TCP[0].exists():
            counts = _established()
            family = GaugeMetricFamily(f"{_PREFIX}connections", "Connections that a port has.", labels=["port"])
            for name, number in self._ports.items():
                family.add_metric([name], counts[number])
            yield family


_TCP: Final = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_ESTABLISHED: Final = "01"


def _established() -> Counter[int]:
    """Established connections by local port. Source: proc_pid_net(5): the second word is ADDRESS:PORT, the fourth a state."""
    rows = (line.split(maxsplit=4) for file in _TCP if file.exists() for line in file.read_text().splitlines()[1:])
    return Counter(int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == _ESTABLISHED)


def _counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(_PREFIX + name, what, value=value)


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(_PREFIX + name, what, value=value)


def _by_reason(name: str, what: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(_PREFIX + name, what, labels=["reason"])
    for reason, count in sorted(counts.items()):
        family.add_metric([reason], count)
    return family
