"""The data points of messages: whose stream each belongs to, what it holds, and which metrics of profiles it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from meshslo.telemetry.prometheus.classic import Found

from .growth import Point
from .held import held_in
from .messages import DELTA, NO_VALUE, Labels, labels_of, parse_metrics, point_fault, points_of, readers_of, reading


@dataclass(frozen=True)
class Read:
    """A data point, the labels of its series, which metrics of profiles it is, and its unit as the message has it."""

    point: Point
    labels: Labels
    found: tuple[Found, ...]
    unit: str


def read_points(payload: bytes) -> Iterator[Read]:
    """Every data point of a serialized ExportMetricsServiceRequest that can be counted and says something."""
    for resource in parse_metrics(payload).resource_metrics:
        whose = _digest(resource.resource.attributes)
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield from _of_metric(metric, resource.resource, repr((whose, scope.scope.name, scope.scope.version)))


def _of_metric(metric: Any, resource: Any, whose: str) -> Iterator[Read]:
    readers = readers_of(metric)
    for point in points_of(metric) if readers else ():
        labels = labels_of(resource, point)
        if not point.flags & NO_VALUE and point_fault(metric, readers, labels, point) is None:
            yield Read(_point(metric, point, whose), labels, tuple(reading(readers, labels)), metric.unit)


def _point(metric: Any, point: Any, whose: str) -> Point:
    kind = metric.WhichOneof("data")
    temporality = getattr(metric, kind).aggregation_temporality
    # A process's cumulative count of one life: another start is another stream.
    life = 0 if temporality == DELTA else point.start_time_unix_nano
    identity = repr((whose, metric.name, metric.unit, kind, temporality, _digest(point.attributes), life))
    stream = blake2b(identity.encode(), digest_size=16).digest()
    return Point(stream, point.start_time_unix_nano, point.time_unix_nano, temporality == DELTA, held_in(kind, point))


def _digest(attributes: Any) -> bytes:
    """The same for the same attributes in any order."""
    ordered = sorted(attribute.SerializeToString(deterministic=True) for attribute in attributes)
    return blake2b(repr(ordered).encode(), digest_size=16).digest()
