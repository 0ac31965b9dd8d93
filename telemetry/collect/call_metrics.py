"""The stored calls as Prometheus sees them: histograms of every phase, retries, cut streams, tokens, by hop and more."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import polars as pl
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, Exemplar, HistogramMetricFamily
from prometheus_client.registry import Collector

from meshslo.telemetry.store.counted import (
    EDGES_S,
    LABELS,
    NATIVE_METRIC,
    NATIVE_SCHEMA,
    SECONDS_METRIC,
    counter_metric,
    read_counts,
)
from meshslo.telemetry.store.layout import Layout
from meshslo.telemetry.vocabulary import PHASES

from .exposition import Native, NativeFamily

_COUNTERS: Final = {
    "calls": "Calls stored; one a vantage, so add up one vantage only.",
    "retries": "Calls that were a second or later attempt.",
    "cut_streams": "Streams that a timer cut.",
    "input_tokens": "Input tokens of the calls.",
    "output_tokens": "Output tokens of the calls.",
}
_SECONDS: Final = "Seconds of a phase of the calls: total, first_byte, first_token, max_gap. Cut calls end where they were cut."
_LES: Final = (*(repr(edge) for edge in EDGES_S), "+Inf")


class CallMetrics(Collector):
    """Reads the store's running counts at each scrape."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def collect(self) -> Iterable[Metric]:
        """One histogram family, and the counters."""
        counts = read_counts(self._layout)
        yield _histogram(counts)
        for name, what in _COUNTERS.items():
            family = CounterMetricFamily(counter_metric(name), what, labels=LABELS)
            for row in counts.filter(pl.col("measure") == name).iter_rows(named=True):
                family.add_metric([row[label] for label in LABELS], row["count"])
            yield family

    def natives(self) -> Iterable[NativeFamily]:
        """The same histograms in exponential buckets, for scrapers that take native ones."""
        cells = read_counts(self._layout).filter(pl.col("measure").is_in(PHASES))
        groups = cells.group_by(*LABELS, "measure", maintain_order=True).agg(pl.col("sum_s").sum(), "native", "count")
        yield NativeFamily(NATIVE_METRIC, _SECONDS, NATIVE_SCHEMA, [_native(row) for row in groups.iter_rows(named=True)])


def _native(group: dict[str, Any]) -> Native:
    counts: Counter[int] = Counter()
    for number, count in zip(group["native"], group["count"], strict=True):
        counts[number] += count
    return Native({**{label: group[label] for label in LABELS}, "phase": group["measure"]}, group["sum_s"], counts)


def _histogram(counts: pl.DataFrame) -> Metric:
    family = HistogramMetricFamily(SECONDS_METRIC, _SECONDS, labels=(*LABELS, "phase"))
    shown = counts.filter(pl.col("measure").is_in(PHASES)).group_by(*LABELS, "measure", "edge", maintain_order=True)
    last = (pl.col(name).drop_nulls().last() for name in ("trace_id", "value_s"))
    cells = shown.agg(pl.col("count", "sum_s").sum(), *last)
    for group in cells.partition_by(*LABELS, "measure", maintain_order=True):
        labels = [group.item(0, label) for label in (*LABELS, "measure")]
        family.add_metric(labels, list(_buckets(group)), sum_value=float(group["sum_s"].sum()))
    return family


def _buckets(group: pl.DataFrame) -> Iterator[tuple[Any, ...]]:
    """(le, count of values up to it, exemplar where there is one) of every bucket of a group."""
    by_edge = {row["edge"]: row for row in group.iter_rows(named=True)}
    total = 0
    for edge, le in enumerate(_LES):
        row = by_edge.get(edge)
        total += row["count"] if row else 0
        if row and row["trace_id"] is not None:
            yield le, total, Exemplar({"trace_id": row["trace_id"].hex()}, row["value_s"])
        else:
            yield le, total
