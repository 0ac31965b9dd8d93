"""Metrics of the calls that spans describe: the GenAI histograms, and one histogram a phase for every hop.

Exponential histograms at the rollup's own scale: 6, that is 0.55 % error, which takes 1,394 buckets from 1 ms to 1 h. (The
SDK's 160 would fall to scale 2 or 3: 4 to 9 %.) They convert into a rollup by renaming, without loss.
Calls that are not sampled are measured too: their spans are recorded, and not exported.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, Meter, MeterProvider
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import AttributeValue

from . import names
from .buckets import MAX_BUCKETS, ROLLUP_SCALE, STREAM_EDGES_S
from .call import ERROR_TYPE, SCOPE

PHASES: Final[Mapping[str, str]] = {
    "first_byte": names.FIRST_BYTE_S,
    "first_token": names.FIRST_TOKEN_S,
    "max_gap": names.MAX_GAP_S,
}
"""Phase -> the attribute that holds it; `total` is the span's own length."""

VANTAGE: Final = "meshslo.vantage"

KEYS: Final = (
    names.TENANT,
    names.MODEL,
    names.ROUTE,
    names.CALLER,
    names.OUTCOME,
    "http.route",
    "url.template",
    "rpc.method",
    "service.peer.name",
    "server.address",
)
"""Attributes by which hop histograms are told apart."""

GENAI_KEYS: Final = (names.OPERATION, names.PROVIDER, names.MODEL, "server.address", "server.port", names.TENANT)


def views() -> list[View]:
    """The views a meter provider needs for our histograms to have the rollup's scale."""
    aggregation = ExponentialBucketHistogramAggregation(max_size=MAX_BUCKETS, max_scale=ROLLUP_SCALE)
    return [View(instrument_name=pattern, aggregation=aggregation) for pattern in ("meshslo.*", "gen_ai.*")]


class Measured(Sampler):
    """Another sampler's decisions, but that what it drops is still recorded here, for metrics; it is not exported."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """The wrapped sampler's result, with DROP turned into RECORD_ONLY."""
        result = self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if result.decision is Decision.DROP:
            return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)
        return result

    def get_description(self) -> str:
        """The wrapped sampler's description."""
        return f"Measured{{{self._sampler.get_description()}}}"


class MeteringProcessor(SpanProcessor):
    """Records each call that ends."""

    def __init__(self, provider: MeterProvider) -> None:
        meter = provider.get_meter(SCOPE)
        self._total = _seconds(meter, "meshslo.call.total", "Duration of calls to the last byte.")
        self._phases = {
            attribute: _seconds(meter, f"meshslo.call.{phase}", f"Phase {phase} of calls.")
            for phase, attribute in PHASES.items()
        }
        self._client = _seconds(meter, "gen_ai.client.operation.duration", "GenAI operation duration.")
        self._first_chunk = _seconds(
            meter, "gen_ai.client.operation.time_to_first_chunk", "Time to the first chunk with content."
        )
        self._server = _seconds(meter, "gen_ai.server.request.duration", "GenAI server request duration.")
        self._first_token = _seconds(meter, "gen_ai.server.time_to_first_token", "Time to first token, successful responses.")
        self._tokens = meter.create_histogram("gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.")

    def on_end(self, span: ReadableSpan) -> None:
        """Record `span`, if it is a call."""
        told = span.attributes or {}
        if names.OUTCOME not in told or span.start_time is None or span.end_time is None:
            return
        total_s = (span.end_time - span.start_time) / 1e9
        context = trace.set_span_in_context(trace.NonRecordingSpan(span.context)) if span.context else None
        side = "server" if span.kind is SpanKind.SERVER else "client"
        key = {VANTAGE: side, **_picked(told, KEYS)}
        self._total.record(total_s, key, context)
        for attribute, histogram in self._phases.items():
            # An answer that is no stream comes whole: its first token is its last one.
            whole = attribute == names.FIRST_TOKEN_S and told.get(names.STREAMING) is False
            if isinstance(value := told.get(attribute), float) and not whole:
                histogram.record(value, key, context)
        if names.OPERATION in told:
            self._record_genai(told, total_s, side, context)

    def _record_genai(self, told: Mapping[str, AttributeValue], total_s: float, side: str, context: Context | None) -> None:
        key = _picked(told, GENAI_KEYS)
        failed = _picked(told, (ERROR_TYPE,))
        first_s = told.get(names.FIRST_TOKEN_S)
        if side == "server":
            self._server.record(total_s, key | failed, context)
            if isinstance(first_s, float) and told[names.OUTCOME] == "ok":
                self._first_token.record(first_s, key, context)
            return
        self._client.record(total_s, key | failed, context)
        if isinstance(first_s, float) and told.get(names.STREAMING):
            self._first_chunk.record(first_s, key, context)
        for kind, attribute in (("input", names.INPUT_TOKENS), ("output", names.OUTPUT_TOKENS)):
            if isinstance(count := told.get(attribute), int):
                self._tokens.record(count, {**key, "gen_ai.token.type": kind}, context)


def _seconds(meter: Meter, name: str, description: str) -> Histogram:
    return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=STREAM_EDGES_S)


def _picked(told: Mapping[str, AttributeValue], keys: Sequence[str]) -> dict[str, AttributeValue]:
    return {key: told[key] for key in keys if key in told}
