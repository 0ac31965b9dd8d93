"""`observe_stream`: time to first content, longest gap, open gap and true ending of any iterator of chunks.

The wrappers are plain iterators, not generators: nothing of the context leaks to the consumer between chunks, and a stream
that nobody closes still ends its span when it is forgotten.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast, overload

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from . import names
from .call import Call, Calls, current_call
from .stream_clock import StreamTimes

Chunk = TypeVar("Chunk")


class _Observed(Generic[Chunk]):
    """What the two kinds have in common: the call that is told, and the context (if any) in which chunks are made."""

    _chunks: object

    def __init__(self, call: Call, context: Context | None = None) -> None:
        self._call = call
        self._context = context

    @property
    def times(self) -> StreamTimes:
        """First token, gaps and chunks so far."""
        return self._call.times()

    @property
    def outcome(self) -> str | None:
        """How the stream ended; None while it goes on."""
        return self._call.ending.outcome if self._call.ending else None

    def tokens(self, *, output_tokens: int, input_tokens: int | None = None) -> None:
        """State the token counts of the stream."""
        self._call.set(output_tokens=output_tokens)
        if input_tokens is not None:
            self._call.set(input_tokens=input_tokens)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._chunks, name)

    def __del__(self) -> None:
        # A constructor that failed has no call.
        if (call := getattr(self, "_call", None)) is not None:
            call.abandon()


class ObservedAsyncStream(_Observed[Chunk]):
    """The chunks of an async iterator, unchanged; what else the wrapped object can do is reached through it."""

    _chunks: AsyncIterable[Chunk]

    def __init__(self, chunks: AsyncIterable[Chunk], call: Call, context: Context | None = None) -> None:
        super().__init__(call, context)
        self._chunks = chunks
        self._iterator: AsyncIterator[Chunk] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._iterator is None:
            self._iterator = aiter(self._chunks)
        token = None if self._context is None else attach(self._context)
        try:
            chunk = await self._iterator.__anext__()
        except StopAsyncIteration:
            self._call.complete()
            raise
        except BaseException as error:
            self._call.fail(error)
            raise
        finally:
            if token is not None:
                detach(token)
        self._call.chunk(chunk)
        return chunk

    async def aclose(self) -> None:
        """Give the stream up: unless it has ended, it was cancelled now."""
        self._call.leave()
        # The source itself where it can be closed (an HTTP body gives its connection back), else its iterator.
        for closable in (self._chunks, self._iterator):
            close = getattr(closable, "aclose", None)
            if close is not None:
                await close()
                return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class ObservedStream(_Observed[Chunk]):
    """The chunks of an iterator, unchanged; what else the wrapped object can do is reached through it."""

    _chunks: Iterable[Chunk]

    def __init__(self, chunks: Iterable[Chunk], call: Call, context: Context | None = None) -> None:
        super().__init__(call, context)
        self._chunks = chunks
        self._iterator: Iterator[Chunk] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Chunk:
        if self._iterator is None:
            self._iterator = iter(self._chunks)
        token = None if self._context is None else attach(self._context)
        try:
            chunk = next(self._iterator)
        except StopIteration:
            self._call.complete()
            raise
        except BaseException as error:
            self._call.fail(error)
            raise
        finally:
            if token is not None:
                detach(token)
        self._call.chunk(chunk)
        return chunk

    def close(self) -> None:
        """Give the stream up: unless it has ended, it was cancelled now."""
        self._call.leave()
        for closable in (self._chunks, self._iterator):
            close = getattr(closable, "close", None)
            if close is not None:
                close()
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


@overload
def observe_stream(
    chunks: AsyncIterable[Chunk],
    *,
    span: Span | None = None,
    content: Callable[[Chunk], bool] | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> ObservedAsyncStream[Chunk]: ...
@overload
def observe_stream(
    chunks: Iterable[Chunk],
    *,
    span: Span | None = None,
    content: Callable[[Chunk], bool] | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> ObservedStream[Chunk]: ...
def observe_stream(
    chunks: AsyncIterable[Chunk] | Iterable[Chunk],
    *,
    span: Span | None = None,
    content: Callable[[Chunk], bool] | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> ObservedAsyncStream[Chunk] | ObservedStream[Chunk]:
    """The same chunks; a span tells when the first content came, the longest gap, how many chunks, and how it ended.

    Without `span` one is made here: CLIENT where `attributes` name a `gen_ai.operation.name` (a model was called), else
    INTERNAL. A `span` given is ended with the stream, but for that of the current server call, which outlives it.
    `content` says which chunk counts as the first token; the default knows server-sent events and the shapes of OpenAI and
    Anthropic. Times run from the span's start. Token counts come from the last chunk with `usage`, or from `.tokens()`.
    """
    stated = {names.STREAMING: True, **(attributes or {})}
    calls = Calls(content=cast("Callable[[object], bool] | None", content))
    if span is None:
        call = calls.start(_name(stated), SpanKind.CLIENT if names.OPERATION in stated else SpanKind.INTERNAL, stated)
    else:
        span.set_attributes(stated)
        call = calls.join(span, owns_span=span is not current_call().span)
    if isinstance(chunks, AsyncIterable):
        return ObservedAsyncStream(chunks, call)
    return ObservedStream(chunks, call)


def _name(attributes: Mapping[str, AttributeValue]) -> str:
    """The span's name: operation and model, as the GenAI conventions have it."""
    return " ".join(str(part) for part in (attributes.get(names.OPERATION, "stream"), attributes.get(names.MODEL)) if part)
