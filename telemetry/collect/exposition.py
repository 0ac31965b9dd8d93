"""/metrics in the form that a scraper asks for: text, OpenMetrics, or protobuf, in which alone native histograms come.

Prometheus asks for protobuf where it is to take native histograms. These have a family of their own, so that the classic one
stays what dashboards and rules know: a server that takes a family's native part leaves its classic buckets out.
Source: prometheus/client_model, io/prometheus/client/metrics.proto; prometheus/docs, specs/native_histograms.md.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

from google.protobuf.message_factory import GetMessageClass
from google.protobuf.proto import serialize_length_prefixed
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.samples import Sample

from meshslo.telemetry.descriptors import DOUBLE, INT32, SINT32, SINT64, TEXT, UINT32, UINT64, Fields, describe

PROTOBUF: Final = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
_ASKS_PROTOBUF: Final = "application/vnd.google.protobuf"

_MESSAGES: Final[Mapping[str, Fields]] = {
    "LabelPair": (("name", 1, TEXT), ("value", 2, TEXT)),
    "Exemplar": (("label", 1, ["LabelPair"]), ("value", 2, DOUBLE)),
    "Value": (("value", 1, DOUBLE),),
    "Counter": (("value", 1, DOUBLE), ("exemplar", 2, "Exemplar")),
    "Summary": (("sample_count", 1, UINT64), ("sample_sum", 2, DOUBLE)),
    "Bucket": (("cumulative_count", 1, UINT64), ("upper_bound", 2, DOUBLE), ("exemplar", 3, "Exemplar")),
    "BucketSpan": (("offset", 1, SINT32), ("length", 2, UINT32)),
    "Histogram": (
        ("sample_count", 1, UINT64),
        ("sample_sum", 2, DOUBLE),
        ("bucket", 3, ["Bucket"]),
        ("schema", 5, SINT32),
        ("zero_threshold", 6, DOUBLE),
        ("positive_span", 12, ["BucketSpan"]),
        ("positive_delta", 13, [SINT64]),
    ),
    "Metric": (
        ("label", 1, ["LabelPair"]),
        ("gauge", 2, "Value"),
        ("counter", 3, "Counter"),
        ("summary", 4, "Summary"),
        ("histogram", 7, "Histogram"),
    ),
    "MetricFamily": (("name", 1, TEXT), ("help", 2, TEXT), ("type", 3, INT32), ("metric", 4, ["Metric"])),
}
_Family: Final[Any] = GetMessageClass(describe("meshslo.metrics", _MESSAGES, "MetricFamily"))
_TYPES: Final = {"counter": 0, "gauge": 1, "summary": 2, "histogram": 4}
_ZERO: Final = 2.0**-128
"""Prometheus takes a histogram for a native one by its zero bucket, though it be empty."""

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Native:
    """A native histogram: its labels, the sum of all values, the count of each bucket that is not empty."""

    labels: Mapping[str, str]
    total: float
    counts: Mapping[int, int]


@dataclass(frozen=True)
class NativeFamily:
    """Native histograms of one name. Bucket i holds (base ** (i - 1), base ** i], base = 2 ** (2 ** -schema)."""

    name: str
    what: str
    schema: int
    histograms: list[Native]


@dataclass(frozen=True)
class Exposition:
    """What /metrics shows: the metrics of a registry, and beside them native histograms where they can be told."""

    registry: CollectorRegistry
    natives: Callable[[], Iterable[NativeFamily]] = tuple

    def encode(self, accept: str) -> tuple[bytes, str]:
        """Body and content type for an Accept header."""
        if accept.strip().lower().startswith(_ASKS_PROTOBUF):
            return self._protobuf(), PROTOBUF
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _protobuf(self) -> bytes:
        body = BytesIO()
        for family in (*map(_family, self.registry.collect()), *map(_native_family, self.natives())):
            serialize_length_prefixed(family, body)
        return body.getvalue()


def _family(metric: Metric) -> Any:
    """A metric of prometheus_client as a message; a counter's name is that of its samples."""
    suffix = "_total" if metric.type == "counter" else ""
    family = _Family(name=metric.name + suffix, help=metric.documentation, type=_TYPES[metric.type])
    for labels, samples in _series(metric.samples):
        _FILL[metric.type](_metric(family, labels), metric.name, samples)
    return family


def _metric(family: Any, labels: Iterable[tuple[str, str]]) -> Any:
    metric = family.metric.add()
    for name, value in labels:
        metric.label.add(name=name, value=value)
    return metric


def _series(samples: Iterable[Sample]) -> Iterator[tuple[Labels, list[Sample]]]:
    """The samples of each series, the buckets of a histogram together."""
    series: defaultdict[Labels, list[Sample]] = defaultdict(list)
    for sample in samples:
        series[tuple((name, value) for name, value in sample.labels.items() if name != "le")].append(sample)
    yield from series.items()


def _fill_counter(metric: Any, _name: str, samples: list[Sample]) -> None:
    metric.counter.value = samples[0].value


def _fill_gauge(metric: Any, _name: str, samples: list[Sample]) -> None:
    metric.gauge.value = samples[0].value


def _fill_summary(metric: Any, name: str, samples: list[Sample]) -> None:
    values = {sample.name.removeprefix(name): sample.value for sample in samples}
    metric.summary.sample_count, metric.summary.sample_sum = int(values["_count"]), values["_sum"]


def _fill_histogram(metric: Any, name: str, samples: list[Sample]) -> None:
    values = {sample.name.removeprefix(name): sample.value for sample in samples}
    metric.histogram.sample_count, metric.histogram.sample_sum = int(values["_count"]), values["_sum"]
    for sample in samples:
        if "le" in sample.labels:
            bucket = metric.histogram.bucket.add(cumulative_count=int(sample.value), upper_bound=float(sample.labels["le"]))
            if sample.exemplar is not None:
                bucket.exemplar.value = sample.exemplar.value
                for key, value in sample.exemplar.labels.items():
                    bucket.exemplar.label.add(name=key, value=value)


_FILL: Final = {"counter": _fill_counter, "gauge": _fill_gauge, "summary": _fill_summary, "histogram": _fill_histogram}


def _native_family(native: NativeFamily) -> Any:
    family = _Family(name=native.name, help=native.what, type=_TYPES["histogram"])
    for one in native.histograms:
        histogram = _metric(family, one.labels.items()).histogram
        histogram.sample_count, histogram.sample_sum = sum(one.counts.values()), one.total
        histogram.schema, histogram.zero_threshold = native.schema, _ZERO
        before, count_before = None, 0
        for number, count in sorted(one.counts.items()):
            if before is None or number > before + 1:
                # The first span is placed from 0 on, the others from the end of the one before.
                histogram.positive_span.add(offset=number if before is None else number - before - 1)
            histogram.positive_span[-1].length += 1
            histogram.positive_delta.append(count - count_before)
            before, count_before = number, count
    return family
