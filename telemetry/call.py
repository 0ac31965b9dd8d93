"""One call under observation: its span, its clock, its labels, and one true ending.

Servers, clients and `observe_stream` each make one and tell it what happens; only here is a span written and ended.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Unpack

from opentelemetry import trace
from opentelemetry.context import Context, create_key, get_value, set_value
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

from . import names
from .baggage import CARRIED, carry
from .content import NO_USAGE, is_final, may_hold_usage, usage_of
from .endings import LEAVING, LEFT_BY_TIMER, Ending, ending_of_exception, ending_of_leaving, ending_of_status
from .labels import Labels, attributes_of
from .stream_clock import StreamClock, StreamTimes

SCOPE: Final = "meshslo"
"""Instrumentation scope of our spans: readers know by it that they end with the body and say how."""

STATUS: Final = "http.response.status_code"
ERROR_TYPE: Final = "error.type"
GRPC_STATUS: Final = "rpc.grpc.status_code"

_CURRENT: Final = create_key("meshslo-call")

_STATED: Final = create_key("meshslo-stated")

_OPEN: Final[set["Call"]] = set()
"""Calls whose span is ours and not ended yet."""


class Call:
    """A call that is going on: times its stream, carries its labels, ends its span exactly once.

    The first ending told is the true one; what comes after it (a close after a timeout, say) changes nothing.
    `owns_span=False` is for a span that some other instrumentation started and will end: it is written to and left open.
    """

    __slots__ = (
        "_ended_s",
        "_ending",
        "_last_chunk",
        "_start_ns",
        "_streaming",
        "_usage_chunk",
        "clock",
        "closed",
        "owns_span",
        "span",
        "status_code",
    )

    def __init__(self, span: Span, clock: StreamClock, *, start_ns: int | None = None, owns_span: bool = True) -> None:
        self.span = span
        self.clock = clock
        self.status_code: int | None = None
        self._start_ns = time.time_ns() if start_ns is None else start_ns
        self.owns_span = owns_span
        self._streaming: bool | None = None
        self._usage_chunk: object = None
        self._last_chunk: object = None
        self._ending: Ending | None = None
        self._ended_s = 0.0
        self.closed = False
        if owns_span:
            _OPEN.add(self)

    def set(self, **labels: Unpack[Labels]) -> None:
        """State tenant, model, route, tokens, ... of this call; the first three also travel with the request from here on.

        They hold until the request's (or `hop`'s) context ends; outside of any, for as long as the task runs.
        """
        attributes = attributes_of(labels)
        if self.span.is_recording():
            self.span.set_attributes(attributes)
        carried: dict[str, str] = {name: str(attributes[name]) for name in CARRIED if name in attributes}
        if carried:
            carry(carried)

    def headers(self, status_code: int, *, content_type: str = "", has_length: bool = False) -> None:
        """Note the response's headers: they came (or went) now."""
        self.clock.headers()
        self.status_code = status_code
        self._streaming = streams(content_type, has_length=has_length)

    def chunk(self, chunk: object) -> None:
        """Note that `chunk` of the response came (or went) now."""
        self.clock.chunk(chunk)
        self._last_chunk = chunk
        if may_hold_usage(chunk):
            self._usage_chunk = chunk

    def stop(self, ending: Ending, *, at_s: float | None = None) -> None:
        """Fix how and when the call ended (now, unless told); the span stays open for labels until `close`."""
        if self._ending is None:
            self._ending = self._truth(ending)
            self._ended_s = self.clock.now_s() if at_s is None else at_s

    def close(self) -> None:
        """Write what was seen and end the span, at the moment the call was stopped."""
        if self.closed:
            return
        self.closed = True
        _OPEN.discard(self)
        self.stop(LEAVING)
        if self.span.is_recording() and self._ending is not None:
            self._write(self._ending)
        if self.owns_span:
            seconds = self._ended_s - self.clock.started_s
            self.span.end(self._start_ns + round(seconds * 1e9))

    def complete(self) -> None:
        """The response was received (or sent) whole."""
        self._finish(ending_of_status(self.status_code))

    def fail(self, error: BaseException) -> None:
        """`error` broke the call off."""
        self._finish(ending_of_exception(error))

    def leave(self) -> None:
        """The caller gave the response up before its end, now: of its own will, or because its timer fired."""
        self._finish(ending_of_leaving())

    def abandon(self) -> None:
        """Nobody closed the response, it was forgotten: the call ended when the last chunk came."""
        self._finish(LEAVING, at_s=self.clock.last_seen_s)

    def times(self) -> StreamTimes:
        """The times of the stream so far, or of the whole where it has ended."""
        if self._ending is None:
            return self.clock.read(ended_s=self.clock.now_s(), cut=False)
        return self.clock.read(ended_s=self._ended_s, cut=not self._ending.complete)

    @property
    def ending(self) -> Ending | None:
        """How the call ended; None while it goes on."""
        return self._ending

    def _truth(self, ending: Ending) -> Ending:
        """`ending`, but for a caller who left when all was said: after the last event, or after the status of a failure."""
        if ending.outcome != "cancelled" and ending is not LEFT_BY_TIMER:
            return ending
        by_status = ending_of_status(self.status_code)
        if is_final(self._last_chunk):
            return by_status
        return ending if by_status.outcome == "ok" else replace(by_status, complete=False)

    def _finish(self, ending: Ending, *, at_s: float | None = None) -> None:
        self.stop(ending, at_s=at_s)
        self.close()

    def _write(self, ending: Ending) -> None:
        attributes = self._seen() | {names.OUTCOME: ending.outcome, STATUS: self.status_code}
        attributes |= {ERROR_TYPE: ending.error_type, GRPC_STATUS: ending.grpc_status}
        self.span.set_attributes({name: value for name, value in attributes.items() if value is not None})
        if ending.outcome in ("error", "timeout", "rejected"):
            self.span.set_status(StatusCode.ERROR)

    def _seen(self) -> dict[str, AttributeValue | None]:
        times = self.times()
        usage = NO_USAGE if self._usage_chunk is None else usage_of(self._usage_chunk)
        seen: dict[str, AttributeValue | None] = {
            names.FIRST_BYTE_S: times.first_byte_s,
            names.FIRST_TOKEN_S: times.first_token_s,
            names.MAX_GAP_S: times.max_gap_s,
            names.OPEN_GAP_S: times.open_gap_s,
            # A call that never had a response to chunk (a function, a refused connection) has no count of them.
            names.CHUNKS: None if times.first_byte_s is None and not times.chunks else times.chunks,
            names.STREAMING: self._is_stream(times),
            names.INPUT_TOKENS: usage.input_tokens,
            names.OUTPUT_TOKENS: usage.output_tokens,
        }
        # What the service itself stated is better than what was read from the body.
        present = getattr(self.span, "attributes", None) or {}
        return {name: value for name, value in seen.items() if name not in present}

    def _is_stream(self, times: StreamTimes) -> bool | None:
        """Whether the response is a stream: by its headers, else by its chunks; None where too little of it came to tell."""
        if self._streaming is not None or times.chunks > 1:
            return self._streaming is not False
        return False if self._ending and self._ending.complete else None


STREAM_TYPES: Final = (
    "text/event-stream",
    "application/x-ndjson",
    "application/jsonl",
    "application/stream+json",
    "application/grpc",
)
"""Media types of a body that is sent as it is made."""


def streams(content_type: str, *, has_length: bool) -> bool | None:
    """Whether a response with these headers is a stream; None where only its chunks can tell.

    >>> streams("text/event-stream; charset=utf-8", has_length=False), streams("application/json", has_length=True)
    (True, False)
    """
    if content_type.lower().startswith(STREAM_TYPES):
        return True
    return False if has_length else None


def abandon_open_calls() -> None:
    """End what is still open because the process ends: a stream that was never closed would be lost with it."""
    for call in list(_OPEN):
        call.abandon()


def _leave_to_the_parent() -> None:
    """In a forked child: the calls that were open are the parent's to end, or each would be sent twice."""
    for call in _OPEN:
        call.closed = True
    _OPEN.clear()


os.register_at_fork(after_in_child=_leave_to_the_parent)


def current_call() -> Call:
    """The call that this code is serving; outside of one, a call around the current span, which is left open."""
    found = get_value(_CURRENT)
    return found if isinstance(found, Call) else Call(trace.get_current_span(), StreamClock(), owns_span=False)


def serving(context: Context) -> Call | None:
    """The call that `context` belongs to, if any."""
    found = get_value(_CURRENT, context)
    return found if isinstance(found, Call) else None


def as_current(call: Call, context: Context) -> Context:
    """`context` with `call` and its span as the current ones."""
    return set_value(_CURRENT, call, trace.set_span_in_context(call.span, context))


def stating(attributes: Mapping[str, AttributeValue], context: Context | None = None) -> Context:
    """`context` (default: the current one) in which calls to other services are started with `attributes`."""
    return set_value(_STATED, stated_in(context) | dict(attributes), context)


def stated_in(context: Context | None = None) -> dict[str, AttributeValue]:
    """What `stating` said of the calls made in `context`."""
    found = get_value(_STATED, context)
    return dict(found) if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Calls:
    """Opens calls: with whose tracer, and what counts as content in them."""

    tracer_provider: trace.TracerProvider | None = None
    content: Callable[[object], bool] | None = None

    def start(
        self,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue],
        context: Context | None = None,
    ) -> Call:
        """A call whose span starts now, as a child of `context` (default: the current one)."""
        tracer = _tracer(self.tracer_provider or trace.get_tracer_provider())
        start_ns = time.time_ns()
        clock = StreamClock(content=self.content)
        return Call(tracer.start_span(name, context, kind, attributes, start_time=start_ns), clock, start_ns=start_ns)

    def join(self, span: Span, *, owns_span: bool) -> Call:
        """A call of a span that has been started already; its times run from then."""
        now_ns = time.time_ns()
        start_ns = getattr(span, "start_time", None) or now_ns
        clock = StreamClock(content=self.content, elapsed_s=(now_ns - start_ns) / 1e9)
        return Call(span, clock, start_ns=start_ns, owns_span=owns_span)


@lru_cache(maxsize=8)
def _tracer(provider: trace.TracerProvider) -> trace.Tracer:
    """The provider's tracer of our scope; asking the SDK for it costs a tenth of a request's whole overhead."""
    return provider.get_tracer(SCOPE)
