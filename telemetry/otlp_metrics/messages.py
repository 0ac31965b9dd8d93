"""OTLP metrics messages: which of their metrics a profile reads, and which data points can be taken.

A metric goes by OpenTelemetry's name or by the one that Prometheus gives it: `gen_ai.client.operation.duration` in s is
`gen_ai_client_operation_duration_seconds`. So the tables of `telemetry.prometheus.profiles` serve for both.
Source: opentelemetry-proto, metrics/v1/metrics.proto; OpenTelemetry specification, compatibility with Prometheus.
"""

import base64
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from math import inf, isfinite
from typing import Any, Final

import msgspec
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.normalize.faults import LATEST_NS
from meshslo.telemetry.normalize.otlp_json import id_bytes
from meshslo.telemetry.prometheus.classic import Found
from meshslo.telemetry.prometheus.labels import first_of
from meshslo.telemetry.prometheus.matchers import chooser
from meshslo.telemetry.prometheus.profile import Histogram
from meshslo.telemetry.prometheus.profiles import chosen

DELTA: Final = 1
CUMULATIVE: Final = 2
NO_VALUE: Final = 1
"""The flag of a data point that says that there is nothing to say: its source has gone."""

MAX_BUCKETS: Final = 10_000
_SCALES: Final = range(-10, 21)
_LONGEST_OFFSET: Final = 2**30
_SUFFIXES: Final = {"s": "_seconds", "ms": "_milliseconds", "us": "_microseconds"}
_ID_BYTES: Final = {"traceId": 16, "spanId": 8}

NOT_OF_CALLS: Final = "no histogram or counter of calls that a profile reads"

Labels = Mapping[str, str]


def parse_metrics(payload: bytes) -> Any:
    """The ExportMetricsServiceRequest in `payload`; BadInputError when there is none."""
    request = ExportMetricsServiceRequest()
    try:
        request.ParseFromString(payload)
    except DecodeError as error:
        raise BadInputError(
            f"{len(payload)} bytes are no OTLP metrics export ({error}); expected a serialized ExportMetricsServiceRequest"
        ) from error
    return request


def metrics_json_to_protobuf(payload: bytes | str) -> bytes:
    """OTLP/JSON metrics as a serialized ExportMetricsServiceRequest; BadInputError when they are none."""
    try:
        document = msgspec.json.decode(payload)
        for exemplar in _exemplars_in(document):
            for name, size in _ID_BYTES.items():
                if exemplar.get(name):
                    exemplar[name] = base64.b64encode(id_bytes(exemplar[name], size)).decode()
        return bytes(ParseDict(document, ExportMetricsServiceRequest(), ignore_unknown_fields=True).SerializeToString())
    except (ValueError, RecursionError, ParseError, AttributeError, TypeError) as error:
        raise BadInputError(f"not OTLP/JSON metrics ({error}); expected {{'resourceMetrics': [...]}}") from error


def _exemplars_in(document: Any) -> Iterator[Any]:
    if not isinstance(document, dict) or (document and "resourceMetrics" not in document):
        raise ValueError("no resourceMetrics")
    for resource in document.get("resourceMetrics") or []:
        for scope in resource.get("scopeMetrics") or []:
            for metric in scope.get("metrics") or []:
                for kind in ("histogram", "exponentialHistogram", "sum"):
                    for point in (metric.get(kind) or {}).get("dataPoints") or []:
                        yield from point.get("exemplars") or []


def points_of(metric: Any) -> Any:
    """The repeated field of a metric's data points, whatever kind it is; an empty list where it has no data."""
    kind = metric.WhichOneof("data")
    return [] if kind is None else getattr(metric, kind).data_points


def readers_of(metric: Any) -> tuple[Found, ...]:
    """What profiles read in a metric; several may, for different labels."""
    kind = metric.WhichOneof("data")
    if kind == "sum" and not metric.sum.is_monotonic:
        return ()
    return tuple(
        found
        for name in sorted(_spellings(metric.name, metric.unit))
        for found in _readers().get(name, ())
        if kind in (("histogram", "exponential_histogram") if isinstance(found.metric, Histogram) else ("sum",))
    )


def labels_of(*holders: Any) -> dict[str, str]:
    """The attributes of a resource, then of a data point, as Prometheus would label the series."""
    return {
        re.sub(r"[^a-zA-Z0-9_]", "_", attribute.key): _text(attribute.value)
        for holder in holders
        for attribute in holder.attributes
    }


def reading(readers: tuple[Found, ...], labels: Labels) -> Iterator[Found]:
    """Those of `readers` that read the series of these labels."""
    return (found for found in readers if chooser(found.metric.match)(labels))


def tenants_named(readers: tuple[Found, ...], labels: Labels) -> Iterator[str]:
    """The tenants that a series of these labels is counted for."""
    for found in reading(readers, labels):
        tenant = first_of(labels, found.profile.labels_of(found.metric).get("tenant", ()))
        if tenant is not None:
            yield tenant


def point_fault(metric: Any, readers: tuple[Found, ...], labels: Labels, point: Any) -> str | None:
    """Why a data point of `metric`, of the series of these labels, cannot be counted, or None."""
    if not any(reading(readers, labels)):
        return NOT_OF_CALLS
    if not point.time_unix_nano:
        return "time_unix_nano is missing"
    if point.time_unix_nano > LATEST_NS or point.start_time_unix_nano > point.time_unix_nano:
        return "time_unix_nano is before start_time_unix_nano or beyond the year 2262"
    kind = metric.WhichOneof("data")
    if getattr(metric, kind).aggregation_temporality not in (DELTA, CUMULATIVE):
        return "aggregation_temporality is neither delta nor cumulative"
    return _FAULTS[kind](point)


def _explicit_fault(point: Any) -> str | None:
    bounds, counts = point.explicit_bounds, point.bucket_counts
    if len(counts) > MAX_BUCKETS:
        return f"more than {MAX_BUCKETS} buckets"
    if len(counts) != len(bounds) + 1 and (counts or bounds):
        return "bucket_counts must be one more than explicit_bounds"
    if not all(map(isfinite, bounds)) or any(low >= high for low, high in pairwise(bounds)):
        return "explicit_bounds must be numbers that ascend"
    return _total_fault(point, sum(counts) if counts else point.count)


def _exponential_fault(point: Any) -> str | None:
    counts = point.positive.bucket_counts
    if len(counts) > MAX_BUCKETS:
        return f"more than {MAX_BUCKETS} buckets"
    if point.scale not in _SCALES or abs(point.positive.offset) > _LONGEST_OFFSET:
        return f"scale must be within {_SCALES.start} and {_SCALES.stop - 1}, offset within 2**30"
    if any(point.negative.bucket_counts):
        return "negative durations"
    if not 0.0 <= point.zero_threshold < inf:
        return "zero_threshold must be a number from 0 on"
    return _total_fault(point, sum(counts) + point.zero_count)


def _total_fault(point: Any, held: int) -> str | None:
    if held != point.count:
        return "count is not the sum of the buckets"
    return None if 0.0 <= point.sum < inf else "sum must be a number from 0 on"


def _sum_fault(point: Any) -> str | None:
    return None if point.as_int >= 0 and 0.0 <= point.as_double < inf else "a counter's value must be from 0 on"


_FAULTS: Final = {"histogram": _explicit_fault, "exponential_histogram": _exponential_fault, "sum": _sum_fault}


def _spellings(name: str, unit: str) -> set[str]:
    plain = re.sub(r"[^a-zA-Z0-9_:]", "_", name)
    named = plain + _SUFFIXES.get(unit, "")
    return {name, plain, named, f"{plain}_total", f"{named}_total"}


@cache
def _readers() -> Mapping[str, list[Found]]:
    """Every name that a metric of a profile may go by."""
    readers: defaultdict[str, list[Found]] = defaultdict(list)
    for profile in chosen([]):
        for metric in (*profile.histograms, *profile.counters):
            for name in metric.names:
                readers[name].append(Found(profile, metric, metric.metric))
    return readers


def _text(value: Any) -> str:
    kind = value.WhichOneof("value")
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    return str(getattr(value, kind)) if kind in ("string_value", "int_value", "double_value") else ""
