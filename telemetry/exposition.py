"""Our metrics as Prometheus text, for a service that is scraped: `/metrics` without another library.

The SDK's own Prometheus exporter drops exponential histograms. Here each becomes a classic one with edges that suit streams; a
bucket that straddles an edge counts above it, so that no share is told too good, and by at most 1.1 % of the edge.
"""

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

from opentelemetry.sdk.metrics.export import ExponentialHistogram, InMemoryMetricReader
from opentelemetry.util.types import AttributeValue

from .buckets import STREAM_EDGES_S

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
TOKEN_EDGES: Final = tuple(float(4**power) for power in range(14))
"""Edges of token counts, as the GenAI conventions have them: 1 to 67,108,864."""

UNITS: Final = {"s": "_seconds", "{token}": ""}


def exposition(reader: InMemoryMetricReader) -> str:
    """Everything that `reader` has collected, in Prometheus' text format."""
    data = reader.get_metrics_data()
    lines: list[str] = []
    for resource in data.resource_metrics if data else ():
        service = str(resource.resource.attributes.get("service.name", ""))
        for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
            if isinstance(metric.data, ExponentialHistogram):
                lines += _histogram(metric, service)
    return "".join(f"{line}\n" for line in lines)


def metrics_app(reader: InMemoryMetricReader) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """An ASGI application that answers every request with the exposition; mount it at `/metrics`."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        body = exposition(reader).encode()
        headers = [(b"content-type", CONTENT_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def _histogram(metric: Any, service: str) -> Iterator[str]:
    name = metric.name.replace(".", "_") + UNITS.get(metric.unit, "")
    edges = STREAM_EDGES_S if metric.unit == "s" else TOKEN_EDGES
    yield f"# HELP {name} {metric.description}"
    yield f"# TYPE {name} histogram"
    for point in metric.data.data_points:
        labels = _labels({"service": service, **(point.attributes or {})})
        for edge, count in zip(edges, cumulative(point, edges), strict=True):
            yield f'{name}_bucket{{{labels},le="{edge:g}"}} {count}'
        yield f'{name}_bucket{{{labels},le="+Inf"}} {point.count}'
        yield f"{name}_sum{{{labels}}} {point.sum!r}"
        yield f"{name}_count{{{labels}}} {point.count}"


def cumulative(point: Any, edges: tuple[float, ...]) -> list[int]:
    """How many of an exponential histogram's values are known to be at most each edge.

    Source: OpenTelemetry metrics data model: bucket i holds (base ** i, base ** (i + 1)], base = 2 ** (2 ** -scale).
    """
    counts = [0] * (len(edges) + 1)
    counts[0] = point.zero_count
    for number, count in enumerate(point.positive.bucket_counts):
        upper = 2.0 ** ((point.positive.offset + number + 1) * 2.0**-point.scale)
        # An edge that is a bucket's own (a power of two) must not be missed by the last bit.
        counts[bisect_left(edges, upper * (1 - 1e-12))] += count
    total, sums = 0, []
    for count in counts[:-1]:
        total += count
        sums.append(total)
    return sums


def _labels(attributes: Mapping[str, AttributeValue]) -> str:
    return ",".join(f'{name.replace(".", "_")}="{_escaped(str(value))}"' for name, value in sorted(attributes.items()))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
